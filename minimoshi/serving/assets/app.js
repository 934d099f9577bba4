// The page of `minimoshi serve`.

import { Conversation, trouble } from "./conversation.js";
import { View } from "./view.js";

const info = await fetch("api/info").then((reply) => (reply.ok ? reply.json() : { samples: [] }));
const token = new URL(location).searchParams.get("token");
const conversation = new Conversation({ worklet: new URL("worklet.js", import.meta.url) });
const view = new View(document.querySelector("main"), conversation, { ...info, server: document.baseURI, token });
if (info.model) document.querySelector("header p").textContent = `model ${info.model}`;
document.addEventListener("keydown", (event) => view.key(event));

const lacking = trouble();
if (lacking) view.on_notice({ text: lacking });
else if (info.token_needed && !token) {
  view.on_notice({ text: "This server wants its token. Open the link that it printed, or type it below, under More." });
}
