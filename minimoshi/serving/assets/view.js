// What one sees of a conversation, and the keys. It fills the element it is given.

import { Lanes } from "./lanes.js";

const NEW_LINE = 2; // seconds of silence after which Moshi's words begin a new line

const STATES = {
  idle: "Not connected",
  connecting: "Connecting …",
  waiting: "Waiting for a free place …",
  talking: "Connected: speak",
};

const TIPS = {
  idle: "Start, and allow the microphone; or play Moshi one of the questions below.",
  connecting: "The browser may ask you for the microphone now.",
  waiting: "Somebody else is talking with Moshi. Your turn comes when they leave.",
  talking: "Ask something, and interrupt when you like: Moshi listens while it speaks.",
};

const NUMBERS = [
  ["frame", "A frame of 80 ms takes", "median, at the server"],
  ["frame99", "99 of 100 frames take at most", ""],
  ["answer", "Moshi answers after", "median, end of your sound to begin of Moshi's"],
  ["ping", "Network, there and back", ""],
  ["waiting", "Sound waiting to be heard", ""],
  ["dropped", "Dropped frames", "at the server, here"],
  ["gaps", "Gaps in the sound", "it came too late"],
  ["time", "Time", ""],
];

const MARKUP = `
<section class="bar" aria-label="Conversation">
  <button type="button" class="go primary">Start talking</button>
  <button type="button" class="mic" aria-pressed="true">Microphone <span aria-hidden="true">on</span></button>
  <button type="button" class="again" disabled>Restart</button>
  <p class="state" role="status">${STATES.idle}</p>
</section>
<div class="news">
  <p class="notice" role="alert"></p>
  <p class="tip">${TIPS.idle}</p>
</div>
<canvas class="lanes" role="img" aria-label="How loud Moshi and you were in the last seconds"></canvas>
<div class="columns">
  <section class="said">
    <h2>What is said</h2>
    <div class="log" role="log" aria-live="polite" aria-label="What is said" tabindex="0"></div>
    <div class="save">
      <button type="button" class="wav" disabled>Save the sound (WAV)</button>
      <button type="button" class="json" disabled>Save the words (JSON)</button>
    </div>
  </section>
  <section class="ask">
    <h2>Ask without a microphone</h2>
    <p class="hint">Moshi hears these recordings as if you spoke them. One may interrupt it.</p>
    <div class="questions"></div>
  </section>
  <section class="measured">
    <h2>Numbers</h2>
    <dl>${NUMBERS.map(
      ([name, term, hint]) => `<div><dt>${term}<small>${hint}</small></dt><dd class="n-${name}">–</dd></div>`,
    ).join("")}</dl>
  </section>
  <section class="settings">
    <h2>Settings</h2>
    <p class="hint">They count from the next start or restart.</p>
    <label>Temperature of the words <span class="value" aria-hidden="true">0.70</span>
      <input type="range" name="text_temperature" min="0" max="1.2" step="0.05" value="0.7"></label>
    <label>Temperature of the voice <span class="value" aria-hidden="true">0.80</span>
      <input type="range" name="audio_temperature" min="0" max="1.2" step="0.05" value="0.8"></label>
    <details><summary>More</summary>
      <label>Seed <input name="seed" inputmode="numeric" pattern="[0-9]*" placeholder="another one each time"></label>
      <label>Token <input name="token" autocomplete="off" spellcheck="false"></label>
      <label>Server <input name="server" autocomplete="off" spellcheck="false" placeholder="this one"></label>
    </details>
  </section>
</div>`;

export class View {
  #root;
  #talk;
  #info;
  #line = null; // the paragraph that Moshi's words go to
  #lineEnd = 0; // when its last piece was said
  #clock;

  /** `info`: {server, token, token_needed, samples: [{text, url}]}. */
  constructor(root, conversation, info) {
    this.#root = root;
    this.#talk = conversation;
    this.#info = info;
    root.classList.add("minimoshi");
    root.innerHTML = MARKUP;
    new Lanes(this.#find(".lanes"), conversation);
    this.#find("[name=token]").value = info.token ?? "";
    this.#questions();
    this.#buttons();
    for (const name of ["state", "microphone", "begin", "piece", "question", "sampling", "notice"]) {
      conversation.addEventListener(name, (event) => this[`on_${name}`](event.detail));
    }
    this.#clock = setInterval(() => conversation.state === "talking" && this.#numbers(), 500);
  }

  close() {
    clearInterval(this.#clock);
  }

  /** A key that was pressed anywhere on the page: space mutes. */
  key(event) {
    const taken = event.target.closest?.("button, input, summary, a, textarea, select");
    if (event.key !== " " || taken || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.#talk.setMicrophone(!this.#talk.microphone);
  }

  on_state() {
    const { state } = this.#talk;
    const running = state !== "idle";
    const go = this.#find(".go");
    go.textContent = running ? "Stop" : "Start talking";
    go.classList.toggle("primary", !running);
    this.#find(".again").disabled = state !== "talking";
    this.#find(".state").textContent = STATES[state];
    this.#find(".tip").textContent = TIPS[state];
    this.#root.dataset.state = state;
    // a keyboard's next space is to mute, not to stop
    if (state === "talking" && document.activeElement === go) this.#find(".mic").focus();
    this.#numbers();
  }

  on_microphone() {
    const mic = this.#find(".mic");
    mic.setAttribute("aria-pressed", this.#talk.microphone);
    mic.querySelector("span").textContent = this.#talk.microphone ? "on" : "off";
  }

  on_begin() {
    this.#find(".log").replaceChildren();
    this.#line = null;
    for (const name of ["wav", "json"]) this.#find(`.${name}`).disabled = false;
  }

  on_piece({ text, start }) {
    if (!this.#line || start - this.#lineEnd > NEW_LINE) {
      this.#line = this.#paragraph("moshi", "Moshi");
      text = text.trimStart();
    }
    this.#line.append(text);
    this.#lineEnd = start;
    this.#scroll();
  }

  on_question({ text }) {
    this.#paragraph("you", "You").append(text);
    this.#line = null;
    this.#scroll();
  }

  on_sampling({ temperature, text_temperature }) {
    this.#slide("audio_temperature", temperature);
    this.#slide("text_temperature", text_temperature);
  }

  on_notice({ text }) {
    this.#find(".notice").textContent = text;
  }

  // ---------------------------------------------------------------------------------------------- inside

  #find(selector) {
    return this.#root.querySelector(selector);
  }

  #buttons() {
    const talk = this.#talk;
    const on = (name, act) => this.#find(name).addEventListener("click", act);
    on(".go", () => (talk.state === "idle" ? talk.start(this.#wish(), { microphone: talk.microphone }) : talk.stop()));
    on(".mic", () => talk.setMicrophone(!talk.microphone));
    on(".again", () => talk.restart(this.#wish()));
    on(".wav", () => save(talk.recording.wav(), "wav"));
    on(".json", () => save(new Blob([JSON.stringify(talk.transcript(), null, 1), "\n"]), "json"));
    for (const slider of this.#root.querySelectorAll("[type=range]")) {
      slider.addEventListener("input", () => {
        slider.dataset.chosen = "yes";
        this.#showValue(slider);
      });
    }
    // a mouse leaves no focus behind, so that space mutes
    this.#root.addEventListener("click", (event) => event.detail && event.target.closest("button")?.blur());
  }

  #questions() {
    const list = this.#find(".questions");
    for (const question of this.#info.samples) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = question.text;
      button.title = question.name;
      button.addEventListener("click", () => {
        if (this.#talk.state === "idle") this.#talk.start(this.#wish(), { microphone: false, question });
        else this.#talk.ask(question);
      });
      list.append(button);
    }
    this.#find(".ask").hidden = !this.#info.samples.length;
  }

  /** What is asked for: the server's own numbers where nobody chose others. */
  #wish() {
    const field = (name) => this.#find(`[name=${name}]`).value.trim();
    const query = {};
    for (const slider of this.#root.querySelectorAll("[data-chosen]")) query[slider.name] = slider.value;
    if (/^[0-9]+$/.test(field("seed"))) query.text_seed = query.audio_seed = field("seed");
    if (field("token")) query.token = field("token");
    const own = !field("server");
    return { server: own ? this.#info.server : field("server"), query, tokenNeeded: own && this.#info.token_needed };
  }

  #slide(name, value) {
    const slider = this.#find(`[name=${name}]`);
    if (slider.dataset.chosen || value === undefined) return;
    slider.value = value;
    this.#showValue(slider);
  }

  #showValue(slider) {
    slider.parentElement.querySelector(".value").textContent = Number(slider.value).toFixed(2);
  }

  #paragraph(side, name) {
    const paragraph = document.createElement("p");
    paragraph.className = side;
    const speaker = document.createElement("b");
    speaker.textContent = `${name}: `;
    paragraph.append(speaker);
    this.#find(".log").append(paragraph);
    return paragraph;
  }

  #scroll() {
    const log = this.#find(".log");
    log.scrollTop = log.scrollHeight;
  }

  #numbers() {
    const { numbers, clock, seconds } = this.#talk;
    const show = (name, text) => (this.#find(`.n-${name}`).textContent = text);
    const milliseconds = (value) => (value === undefined ? "–" : `${Math.round(1000 * value)} ms`);
    for (const name of ["frame", "frame99", "ping", "waiting"]) show(name, milliseconds(numbers[name]));
    show("answer", milliseconds(median(clock.answers)));
    show("dropped", `${numbers.late ?? "–"}, ${Math.ceil((numbers.skipped ?? 0) + numbers.unsent)}`);
    show("gaps", numbers.gaps ?? "–");
    show("time", `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`);
  }
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

function save(blob, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `moshi-${new Date().toISOString().slice(0, 16).replace(/[T:]/g, "-")}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
