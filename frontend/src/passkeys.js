// Passkeys: the browser's ceremony between a form and the server's options. The server checks everything.

function bytes(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

function text(buffer) {
  const plain = btoa(String.fromCharCode(...new Uint8Array(buffer)));
  return plain.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function listed(credentials) {
  return (credentials ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
}

function plain(credential, response) {
  return JSON.stringify({
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    clientExtensionResults: credential.getClientExtensionResults(),
    response,
  });
}

async function made(options, alone) {
  const wanted = alone ? "required" : "discouraged";
  const selection = { ...options.authenticatorSelection, residentKey: wanted, requireResidentKey: alone };
  if (alone) selection.userVerification = "required";
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    user: { ...options.user, id: bytes(options.user.id) },
    excludeCredentials: listed(options.excludeCredentials),
    authenticatorSelection: selection,
  };
  const credential = await navigator.credentials.create({ publicKey });
  return plain(credential, {
    clientDataJSON: text(credential.response.clientDataJSON),
    attestationObject: text(credential.response.attestationObject),
    transports: credential.response.getTransports?.() ?? [],
  });
}

async function signed(options) {
  const publicKey = {
    ...options,
    challenge: bytes(options.challenge),
    allowCredentials: listed(options.allowCredentials),
  };
  const credential = await navigator.credentials.get({ publicKey });
  const { clientDataJSON, authenticatorData, signature, userHandle } = credential.response;
  return plain(credential, {
    clientDataJSON: text(clientDataJSON),
    authenticatorData: text(authenticatorData),
    signature: text(signature),
    userHandle: userHandle ? text(userHandle) : null,
  });
}

// On a form with a field named credential. Options come from JSON inside it, or from its action where there is none.
// data-refused, data-unable and data-away are said where the person, the browser or the network says no.
export function passkey() {
  return {
    busy: false,
    problem: "",
    async options() {
      const given = this.$root.querySelector("script[type='application/json']");
      if (given) return JSON.parse(given.textContent);
      const answer = await fetch(this.$root.action, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new TypeError(answer.statusText);
      return answer.json();
    },
    async ceremony() {
      const options = await this.options();
      const alone = this.$root.elements.passwordless?.checked ?? false;
      if (options.creation_options) return made(options.creation_options.publicKey, alone);
      return signed(options.request_options.publicKey);
    },
    async submit(event) {
      event.preventDefault();
      if (this.busy) return;
      this.problem = "";
      if (!window.PublicKeyCredential) {
        this.problem = this.$root.dataset.unable;
        return;
      }
      this.busy = true;
      try {
        this.$root.elements.credential.value = await this.ceremony();
        this.$root.submit();
      } catch (error) {
        this.problem = error instanceof TypeError ? this.$root.dataset.away : this.$root.dataset.refused;
        this.busy = false;
      }
    },
  };
}

// On an element around [data-save]: its text becomes a file named data-name.
export function saveText() {
  return {
    save() {
      const content = this.$root.querySelector("[data-save]").textContent.trim();
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([`${content}\n`], { type: "text/plain" }));
      link.download = this.$root.dataset.name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    },
  };
}
