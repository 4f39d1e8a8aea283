// Ed25519 wallets of this browser, in IndexedDB by their address, and what they sign.
//
// A private key is made so that it can be exported once: the first export seals it under a passphrase (the format is
// that of workers/protocol/wallet_file.py), keeps the sealed file, and puts a key in its place that no script can read
// any more. An imported wallet is such a key from the beginning. No private key is ever sent anywhere.

const DATABASE = "meshwork";
const STORE = "keys";
const ALGORITHM = { name: "Ed25519" };
const PKCS8 = Uint8Array.from([48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32]);
const FIELDS = ["address", "format", "iterations", "kdf", "label", "nonce", "public", "salt", "sealed", "version"];
const KDF = "PBKDF2-HMAC-SHA256";
const ITERATIONS = 600000;
const MOST_ITERATIONS = 10000000;
const SHORTEST_PASSPHRASE = 10;
const LARGEST = 4096;

// What a person can do something about: `code` names the words that a page has for it.
export class WalletProblem extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export function base64(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}

function bytes(text) {
  const found = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  if (base64(found) !== text) throw new WalletProblem("malformed");
  return found;
}

// RFC 8785 for what may be signed: ASCII keys, integers below 2^53, texts, lists, true, false and null.
export function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value && typeof value === "object") {
    const keys = Object.keys(value).sort();
    return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
  }
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new WalletProblem("malformed");
  return JSON.stringify(value);
}

function utf8(text) {
  return new TextEncoder().encode(text);
}

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function store(mode, act) {
  const request = indexedDB.open(DATABASE, 2);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "address" });
  const database = await settled(request);
  try {
    return await settled(act(database.transaction(STORE, mode).objectStore(STORE)));
  } finally {
    database.close();
  }
}

async function addressOf(publicBytes) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", publicBytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function kept(address) {
  const found = await store("readonly", (rows) => rows.get(address));
  if (!found) throw new WalletProblem("gone");
  return found;
}

// Whether this browser can hold wallets at all: it needs a secure context and Ed25519.
export async function able() {
  if (!globalThis.crypto?.subtle || !globalThis.indexedDB) return false;
  try {
    await crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
    return true;
  } catch {
    return false;
  }
}

// [{address, public, label, saved}], the newest first; saved says whether there is a file of it.
export async function all() {
  const rows = await store("readonly", (found) => found.getAll());
  rows.sort((one, other) => other.at - one.at);
  return rows.map(({ address, public: open, label, file }) => ({ address, public: open, label, saved: Boolean(file) }));
}

// A new wallet; its address.
export async function make(label) {
  const pair = await crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const open = await crypto.subtle.exportKey("raw", pair.publicKey);
  const address = await addressOf(open);
  const row = { address, public: base64(open), label, key: pair.privateKey, file: null, at: Date.now() };
  await store("readwrite", (rows) => rows.add(row));
  // So that a browser short of space asks before it forgets; its answer changes nothing here.
  navigator.storage?.persist?.().catch(() => {});
  return address;
}

// The wallet's signature over a document's canonical form, in base64.
export async function sign(address, document) {
  const { key } = await kept(address);
  return base64(await crypto.subtle.sign(ALGORITHM, key, utf8(canonical(document))));
}

// What the API takes as proof: {public, signature, message, label}.
export async function proof(address, message) {
  const { public: open, label } = await kept(address);
  return { public: open, signature: await sign(address, message), message, label };
}

async function cipherKey(passphrase, salt, iterations) {
  const secret = await crypto.subtle.importKey("raw", utf8(passphrase.normalize("NFKC")), "PBKDF2", false, ["deriveKey"]);
  const how = { name: "PBKDF2", hash: "SHA-256", salt, iterations };
  return crypto.subtle.deriveKey(how, secret, { name: "AES-GCM", length: 256 }, false, ["encrypt", "decrypt"]);
}

async function sealed(row, pkcs8, passphrase) {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const header = {
    format: "mesh-wallet",
    version: 1,
    address: row.address,
    public: row.public,
    label: row.label,
    kdf: KDF,
    iterations: ITERATIONS,
    salt: base64(salt),
    nonce: base64(iv),
  };
  const key = await cipherKey(passphrase, salt, ITERATIONS);
  const how = { name: "AES-GCM", iv, additionalData: utf8(canonical(header)) };
  const content = await crypto.subtle.encrypt(how, key, pkcs8.slice(PKCS8.length));
  return canonical({ ...header, sealed: base64(content) });
}

async function lockedKey(pkcs8) {
  return crypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, false, ["sign"]);
}

// The wallet's file. The first one is sealed under the passphrase; later ones are the same file, whatever is typed.
export async function exported(address, passphrase) {
  const row = await kept(address);
  if (row.file) return row.file;
  if ([...passphrase].length < SHORTEST_PASSPHRASE) throw new WalletProblem("short");
  const pkcs8 = new Uint8Array(await crypto.subtle.exportKey("pkcs8", row.key));
  const file = await sealed(row, pkcs8, passphrase);
  const key = await lockedKey(pkcs8);
  pkcs8.fill(0);
  await store("readwrite", (rows) => rows.put({ ...row, key, file }));
  return file;
}

function parsed(text) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    throw new WalletProblem("malformed");
  }
  const named = found && typeof found === "object" && Object.keys(found).sort().join() === FIELDS.join();
  const known = named && found.format === "mesh-wallet" && found.version === 1 && found.kdf === KDF;
  const whole = known && FIELDS.every((name) => ["iterations", "version"].includes(name) || typeof found[name] === "string");
  const rounds = whole && Number.isSafeInteger(found.iterations) && found.iterations >= ITERATIONS;
  if (!rounds || found.iterations > MOST_ITERATIONS || text.length > LARGEST) throw new WalletProblem("malformed");
  return found;
}

async function opened(found, passphrase) {
  const { sealed: content, ...header } = found;
  let parts;
  try {
    parts = [found.salt, found.nonce, content].map(bytes);
  } catch {
    throw new WalletProblem("malformed");
  }
  const [salt, iv, cipher] = parts;
  const key = await cipherKey(passphrase, salt, found.iterations);
  try {
    const how = { name: "AES-GCM", iv, additionalData: utf8(canonical(header)) };
    const seed = new Uint8Array(await crypto.subtle.decrypt(how, key, cipher));
    return Uint8Array.from([...PKCS8, ...seed]);
  } catch {
    throw new WalletProblem("wrong");
  }
}

// Whether the private key is the one that the file names.
async function belongs(key, found) {
  const message = utf8("mesh-wallet");
  const open = await crypto.subtle.importKey("raw", bytes(found.public), ALGORITHM, false, ["verify"]);
  const signature = await crypto.subtle.sign(ALGORITHM, key, message);
  const same = (await addressOf(bytes(found.public))) === found.address;
  return same && crypto.subtle.verify(ALGORITHM, open, signature, message);
}

// Read a wallet from a file; its address.
export async function imported(text, passphrase) {
  const found = parsed(text);
  const pkcs8 = await opened(found, passphrase);
  const key = await lockedKey(pkcs8);
  pkcs8.fill(0);
  if (!(await belongs(key, found))) throw new WalletProblem("malformed");
  const { address, label } = found;
  const row = { address, public: found.public, label, key, file: canonical(found), at: Date.now() };
  await store("readwrite", (rows) => rows.put(row));
  return address;
}

// Forget a wallet; nobody else has it.
export async function remove(address) {
  await store("readwrite", (rows) => rows.delete(address));
}
