// Pages' side of the wallets of this browser. The words that a page says stand in data-* of the component's element.
import { able, all, exported, imported, make, proof, remove, WalletProblem } from "./wallets.js";

// What the platform or an Ethereum wallet refused, in its own words.
export class Refusal extends Error {}

async function answer(response) {
  let body;
  try {
    body = await response.json();
  } catch {
    throw new TypeError("no JSON");
  }
  if (!response.ok && body.code === "confirmation_needed") {
    location.assign(`/wallet/confirm?next=${encodeURIComponent(location.pathname)}`);
    // Busy until the next page is there.
    await new Promise(() => {});
  }
  if (!response.ok) throw new Refusal(body.detail);
  return body;
}

export async function get(path) {
  return answer(await fetch(path));
}

export async function post(path, body, root, method = "POST") {
  const token = root.querySelector("[name=csrfmiddlewaretoken]").value;
  const headers = { "Content-Type": "application/json", "X-CSRFToken": token };
  return answer(await fetch(path, { method, headers, body: JSON.stringify(body) }));
}

export function words(error, said) {
  if (error instanceof WalletProblem) return said[error.code] ?? said.malformed;
  if (error instanceof Refusal) return error.message;
  return error instanceof TypeError ? said.away : said.unable;
}

// What every component of wallets shares: one thing at a time, and its problem in words.
export function worker(ready = able) {
  return {
    busy: false,
    problem: "",
    async work(act) {
      if (this.busy) return;
      this.busy = true;
      this.problem = "";
      try {
        if (!(await ready())) throw new WalletProblem("unable");
        await act();
      } catch (error) {
        this.problem = words(error, this.$root.dataset);
      }
      this.busy = false;
    },
    async read(form) {
      return imported(await form.elements.file.files[0].text(), form.elements.passphrase.value);
    },
  };
}

// On landing, sign-up and sign-in: one click makes a wallet, signs, and is in.
export function walletEntry() {
  return {
    ...worker(),
    wallets: [],
    chosen: "",
    async init() {
      if (!(await able())) return;
      this.wallets = await all();
      this.chosen = this.wallets[0]?.address ?? "";
    },
    get some() {
      return this.wallets.length > 0;
    },
    get several() {
      return this.wallets.length > 1;
    },
    get none() {
      return !this.some;
    },
    get short() {
      return this.chosen.slice(0, 8);
    },
    enter() {
      return this.work(() => this.go(this.chosen));
    },
    fresh() {
      return this.work(() => this.go(""));
    },
    load(event) {
      event.preventDefault();
      return this.work(async () => this.go(await this.read(event.target)));
    },
    async go(address) {
      const used = address || (await make(this.$root.dataset.label));
      // Listed at once: a second try after a lost answer uses the same wallet.
      if (!address) await this.init();
      const asked = { purpose: "wallet.sign-in" };
      const { message } = await post("/api/v1/auth/wallet/challenge", asked, this.$root);
      const signed = { ...(await proof(used, message)), next: this.$root.dataset.next };
      const { next } = await post("/api/v1/auth/wallet/session", signed, this.$root);
      location.assign(next);
      // Busy until the next page is there.
      await new Promise(() => {});
    },
  };
}

function download(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${text}\n`], { type: "application/json" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// On the wallet's pages: the wallets of this browser; make, bind, save, import and remove them.
export function walletKeeper() {
  return {
    ...worker(),
    wallets: [],
    chosen: "",
    loaded: false,
    async init() {
      await this.list();
      this.loaded = true;
    },
    async list() {
      if (!(await able())) return;
      const bound = JSON.parse(this.$root.querySelector("script[type='application/json']").textContent);
      const found = await all();
      this.wallets = found.map((one) => ({
        ...one,
        short: `${one.address.slice(0, 16)}…`,
        bound: bound.includes(one.address),
        unbound: !bound.includes(one.address),
        unsaved: !one.saved,
      }));
    },
    get none() {
      return this.loaded && this.wallets.length === 0;
    },
    get some() {
      return this.wallets.length > 0;
    },
    get unsaved() {
      return this.wallets.some((one) => one.unsaved);
    },
    add() {
      return this.work(async () => this.tie(await make(this.$root.dataset.label)));
    },
    bind(address) {
      return this.work(() => this.tie(address));
    },
    load(event) {
      event.preventDefault();
      return this.work(async () => {
        await this.read(event.target);
        event.target.reset();
        await this.list();
      });
    },
    async tie(address) {
      await this.list();
      const { message } = await get("/api/v1/wallets/challenge");
      await post("/api/v1/wallets", await proof(address, message), this.$root);
      location.reload();
    },
    async save(wallet) {
      this.chosen = wallet.address;
      this.problem = "";
      if (wallet.saved) await this.work(() => this.give(""));
      else this.$refs.saving.showModal();
    },
    async keep(event) {
      event.preventDefault();
      const { passphrase, again } = event.target.elements;
      await this.work(async () => {
        if (passphrase.value !== again.value) throw new WalletProblem("differ");
        await this.give(passphrase.value);
        event.target.reset();
        this.$refs.saving.close();
      });
    },
    async give(passphrase) {
      download(await exported(this.chosen, passphrase), `meshwork-wallet-${this.chosen.slice(0, 8)}.json`);
      await this.list();
    },
    ask(wallet) {
      this.chosen = wallet.address;
      this.$refs.removing.showModal();
    },
    forget() {
      return this.work(async () => {
        await remove(this.chosen);
        this.$refs.removing.close();
        await this.list();
      });
    },
  };
}
