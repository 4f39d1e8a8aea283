// Everything that every page needs. Server-rendered HTML works without it; this makes it live.
import "./htmx-global.js";
import "htmx.org/dist/ext/hx-alpine-compat.js";
import Alpine from "@alpinejs/csp";
import { startClocks } from "./clock.js";
import { copyButton, menu, tabs, themeSwitch, toast } from "./components.js";
import { startDialogs } from "./dialogs.js";
import { ethereumBinder, ethereumEntry } from "./ethereum.js";
import { startLive } from "./live.js";
import { signedOrder } from "./orders.js";
import { passkey, saveText } from "./passkeys.js";
import { startShortcuts } from "./shortcuts.js";
import { walletEntry, walletKeeper } from "./wallet.js";

Alpine.data("copyButton", copyButton);
Alpine.data("ethereumBinder", ethereumBinder);
Alpine.data("ethereumEntry", ethereumEntry);
Alpine.data("menu", menu);
Alpine.data("passkey", passkey);
Alpine.data("saveText", saveText);
Alpine.data("signedOrder", signedOrder);
Alpine.data("tabs", tabs);
Alpine.data("themeSwitch", themeSwitch);
Alpine.data("toast", toast);
Alpine.data("walletEntry", walletEntry);
Alpine.data("walletKeeper", walletKeeper);
window.Alpine = Alpine;
Alpine.start();

startClocks();
startDialogs();
startShortcuts();
startLive();
