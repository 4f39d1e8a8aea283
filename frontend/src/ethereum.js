// Ethereum wallets, by the provider that an extension puts into the page (EIP-1193); it signs typed data (EIP-712).
import { post, worker } from "./wallet.js";
import { WalletProblem } from "./wallets.js";

const REJECTED = 4001;

async function ask(method, params = []) {
  try {
    return await globalThis.ethereum.request({ method, params });
  } catch (error) {
    throw new WalletProblem(error.code === REJECTED ? "rejected" : "provider");
  }
}

async function address() {
  if (!globalThis.ethereum?.request) throw new WalletProblem("missing");
  const [first] = await ask("eth_requestAccounts");
  if (!first) throw new WalletProblem("rejected");
  return first;
}

// Wallets refuse to sign for another chain than the one that they are on.
async function onChain(chainId) {
  const now = await globalThis.ethereum.request({ method: "eth_chainId" });
  if (Number.parseInt(now, 16) === chainId) return;
  try {
    const params = [{ chainId: `0x${chainId.toString(16)}` }];
    await globalThis.ethereum.request({ method: "wallet_switchEthereumChain", params });
  } catch (error) {
    throw new WalletProblem(error.code === REJECTED ? "rejected" : "chain");
  }
}

async function signed(from, typed) {
  await onChain(typed.domain.chainId);
  const signature = await ask("eth_signTypedData_v4", [from, JSON.stringify(typed)]);
  return { nonce: typed.message.nonce, signature };
}

function base() {
  return worker(async () => true);
}

// On landing, sign-up and sign-in.
export function ethereumEntry() {
  return {
    ...base(),
    enter() {
      return this.work(async () => {
        const from = await address();
        const asked = await post("/api/v1/auth/ethereum/challenge", { address: from }, this.$root);
        const proof = { ...(await signed(from, asked.typed_data)), next: this.$root.dataset.next };
        const { next } = await post("/api/v1/auth/ethereum/session", proof, this.$root);
        location.assign(next);
        // Busy until the next page is there.
        await new Promise(() => {});
      });
    },
  };
}

// On the page of a node's address; data-path is the node's binding in the API.
export function ethereumBinder() {
  return {
    ...base(),
    bind() {
      return this.work(async () => {
        const { path } = this.$root.dataset;
        const from = await address();
        const asked = await post(`${path}/challenge`, { address: from }, this.$root);
        await post(path, await signed(from, asked.typed_data), this.$root, "PUT");
        location.reload();
      });
    },
  };
}
