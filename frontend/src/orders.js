// The page of an order: sign what it shows with a wallet of this browser, then hand it in.
import { able, sign, WalletProblem } from "./wallets.js";

export function signedOrder() {
  return {
    busy: false,
    problem: "",
    async hand(event) {
      event.preventDefault();
      if (this.busy) return;
      this.busy = true;
      this.problem = "";
      const form = event.target;
      try {
        if (!(await able())) throw new WalletProblem("unable");
        const order = JSON.parse(form.elements.document.value);
        form.elements.signature.value = await sign(order.wallet, order);
        // Past this handler, and past a second press.
        form.submit();
      } catch (error) {
        const said = this.$root.dataset;
        this.problem = (error instanceof WalletProblem && said[error.code]) || said.malformed;
        this.busy = false;
      }
    },
  };
}
