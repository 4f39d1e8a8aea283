// A wallet of this browser: an Ed25519 key that cannot be exported, kept in IndexedDB, bound to the account by a signature.

const DATABASE = "meshwork";
const STORE = "wallets";

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function keyOf(user) {
  const database = await opened();
  const kept = await settled(database.transaction(STORE).objectStore(STORE).get(user));
  if (kept) return kept;
  const made = await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
  await settled(database.transaction(STORE, "readwrite").objectStore(STORE).put(made, user));
  return made;
}

function base64(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}

async function answer(response) {
  const body = await response.json();
  if (!response.ok) throw new Error(body.detail);
  return body;
}

// On an element with a CSRF token inside; data-label names the wallet, data-unable is said where the browser cannot.
export function walletMaker() {
  return {
    busy: false,
    problem: "",
    async make() {
      this.busy = true;
      this.problem = "";
      try {
        await this.bind();
        location.reload();
      } catch (error) {
        this.problem = error.name === "NotSupportedError" || !crypto.subtle ? this.$root.dataset.unable : error.message;
        this.busy = false;
      }
    },
    async bind() {
      const { message } = await answer(await fetch("/api/v1/wallets/challenge"));
      const key = await keyOf(message.user);
      // The message is flat, so sorted keys without spaces are its canonical form.
      const canonical = new TextEncoder().encode(JSON.stringify(message, Object.keys(message).sort()));
      const signature = await crypto.subtle.sign("Ed25519", key.privateKey, canonical);
      const body = {
        public: base64(await crypto.subtle.exportKey("raw", key.publicKey)),
        signature: base64(signature),
        message,
        label: this.$root.dataset.label,
      };
      const token = this.$root.querySelector("[name=csrfmiddlewaretoken]").value;
      const headers = { "Content-Type": "application/json", "X-CSRFToken": token };
      await answer(await fetch("/api/v1/wallets", { method: "POST", headers, body: JSON.stringify(body) }));
    },
  };
}
