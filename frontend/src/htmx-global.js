// Extensions look for a global htmx, so it stands there before they are loaded.
import htmx from "htmx.org";

window.htmx = htmx;
