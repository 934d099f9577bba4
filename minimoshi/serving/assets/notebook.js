// The same conversation in a notebook: the kernel is the server, the widget's messages are the wire.

const SOURCES = {}; // name → text of the other modules; the kernel fills it in
const SERVER = "ws://kernel";

const urls = {};

/** The address of a module, and of what it imports, as blobs: a notebook has no folder to load them from. */
function address(name) {
  if (name in urls) return urls[name];
  const text = SOURCES[name].replace(/from "\.\/(\w+\.js)"/g, (_, other) => `from "${address(other)}"`);
  return (urls[name] = URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
}

/** What behaves like a WebSocket, by the widget's messages. */
class KernelSocket {
  static #count = 0;
  readyState = 0;
  bufferedAmount = 0;
  onopen = onmessage = onclose = () => {};
  #model;
  #id = ++KernelSocket.#count;

  constructor(model, url) {
    this.#model = model;
    model.on("msg:custom", this.#receive);
    this.#tell({ act: "open", query: new URL(url).search.slice(1) });
  }

  send(bytes) {
    this.#tell({ act: "message" }, [bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)]);
  }

  close() {
    if (this.readyState === 3) return;
    this.#tell({ act: "close" });
    this.#closed({ code: 1000, reason: "" });
  }

  #tell(content, buffers = []) {
    this.#model.send({ ...content, id: this.#id }, undefined, buffers);
  }

  #receive = ({ id, act, code, reason }, buffers) => {
    if (id !== this.#id) return;
    if (act === "open") {
      this.readyState = 1;
      this.onopen({});
    } else if (act === "message") {
      const bytes = buffers[0];
      this.onmessage({ data: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) });
    } else if (act === "close") this.#closed({ code, reason });
  };

  #closed(event) {
    this.readyState = 3;
    this.#model.off("msg:custom", this.#receive);
    this.onclose(event);
  }
}

function open(model, url) {
  return url.startsWith(SERVER) ? new KernelSocket(model, url) : new WebSocket(url);
}

/** Whether the notebook around the cell is dark: JupyterLab, VS Code and Colab say so, elsewhere the system decides. */
function isDark() {
  const { jpThemeLight, vscodeThemeKind } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false";
  const named = vscodeThemeKind ?? document.documentElement.getAttribute("theme");
  return named ? named.includes("dark") : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Wear the notebook's colours, now and whenever they change; returns what ends that. */
function follow(el) {
  const wear = () => {
    el.classList.toggle("dark", isDark());
    el.style.colorScheme = isDark() ? "dark" : "light";
  };
  const watch = new MutationObserver(wear);
  for (const place of [document.body, document.documentElement]) watch.observe(place, { attributes: true });
  wear();
  return () => watch.disconnect();
}

async function render({ model, el }) {
  const [{ Conversation, trouble }, { View }] = await Promise.all(
    ["conversation.js", "view.js"].map((name) => import(address(name))),
  );
  const samples = model.get("samples").map((sample, number) => {
    const sound = new Blob([model.get("sounds")[number]], { type: "audio/flac" });
    return { ...sample, url: URL.createObjectURL(sound) };
  });
  const conversation = new Conversation({
    worklet: address("worklet.js"),
    open: (url) => open(model, url),
  });
  const view = new View(el, conversation, { samples, server: SERVER });
  const unfollow = follow(el);
  el.tabIndex = 0; // so that space reaches it
  el.addEventListener("keydown", (event) => view.key(event));
  const lacking = trouble();
  if (lacking) view.on_notice({ text: lacking });
  return () => {
    unfollow();
    conversation.stop();
    view.close();
    for (const { url } of samples) URL.revokeObjectURL(url);
  };
}

export default { render };
