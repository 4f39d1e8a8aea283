// Alpine components, named in templates by x-data="name". The CSP build evaluates no code of the page's own.

export function copyButton() {
  return {
    copied: false,
    async copy() {
      const source = this.$root.querySelector("[data-copy]");
      await writeClipboard(source.dataset.copy || source.textContent.trim());
      this.copied = true;
      setTimeout(() => (this.copied = false), 2000);
    },
  };
}

async function writeClipboard(text) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Plain http on another host than localhost has no clipboard API.
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// On a <details>: closes when the pointer or the focus goes elsewhere, and on Escape.
export function menu() {
  return {
    close() {
      this.$root.open = false;
    },
    escape() {
      if (!this.$root.open) return;
      this.close();
      this.$root.querySelector("summary").focus();
    },
  };
}

// Buttons [role=tab] with aria-controls; arrow keys move between them.
export function tabs() {
  return {
    init() {
      const first = this.all().find((tab) => tab.getAttribute("aria-selected") === "true") ?? this.all()[0];
      this.show(first);
    },
    all() {
      return [...this.$root.querySelectorAll("[role=tab]")];
    },
    show(chosen) {
      for (const tab of this.all()) {
        const on = tab === chosen;
        tab.setAttribute("aria-selected", String(on));
        tab.tabIndex = on ? 0 : -1;
        document.getElementById(tab.getAttribute("aria-controls")).hidden = !on;
      }
    },
    pick(event) {
      const tab = event.target.closest("[role=tab]");
      if (tab) this.show(tab);
    },
    move(event) {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const at = this.all().indexOf(document.activeElement);
      if (!step || at < 0) return;
      const next = this.all().at((at + step) % this.all().length);
      next.focus();
      this.show(next);
    },
  };
}

// The choice lives in a cookie, so that the server's first paint already has it.
export function themeSwitch() {
  return {
    choice: document.documentElement.dataset.choice || "system",
    choose(event) {
      this.choice = event.currentTarget.value;
      const root = document.documentElement;
      root.dataset.choice = this.choice;
      if (this.choice === "system") delete root.dataset.theme;
      else root.dataset.theme = `mesh-${this.choice}`;
      document.cookie = `theme=${this.choice}; path=/; max-age=31536000; samesite=lax`;
      document.dispatchEvent(new CustomEvent("themechange"));
    },
    pressed() {
      return String(this.choice === this.$el.value);
    },
  };
}

// Good news goes away by itself; warnings and errors stay until dismissed.
export function toast() {
  return {
    init() {
      if (this.$root.matches(".success, .info")) setTimeout(() => this.dismiss(), 8000);
    },
    dismiss() {
      this.$root.remove();
    },
  };
}
