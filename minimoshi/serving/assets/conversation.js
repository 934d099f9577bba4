// A conversation with a Moshi server, without a page: socket, sound, words, numbers. It tells what happens by events.

import { RATE } from "./duplex.js";
import { joined } from "./ogg.js";
import { Ears, Mouth } from "./opus.js";
import { Recording, TurnClock, loudness } from "./recording.js";

const [HANDSHAKE, AUDIO, TEXT, CONTROL, METADATA, ERROR, PING] = [0, 1, 2, 3, 4, 5, 6];
const RESTART = 3;
const FRAME = 1920; // samples
const CODING = 10; // chunks, 400 ms: with more sound that waits to be coded the delay would grow
const BACKLOG = 4000; // bytes, half a second: the same for sound that waits to be sent
const SILENCE = 10; // seconds without a message: the server is gone
const PATIENCE = 3; // pings without an answer: this server does not answer them
const WISHES = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** What the browser lacks for a conversation, and what to do; null when nothing. */
export function trouble() {
  if (!globalThis.isSecureContext) {
    const port = location.port || "80";
    return (
      "Browsers give sound only to pages from https or localhost. Start the server with --ssl FOLDER and open its " +
      `https link; or run "ssh -L ${port}:localhost:${port} ${location.hostname}" and open http://localhost:${port}.`
    );
  }
  if (!globalThis.AudioEncoder || !globalThis.AudioDecoder || !globalThis.AudioWorkletNode) {
    return "This browser cannot encode Opus (WebCodecs). Use a current Chrome, Edge, Firefox or Safari (26 or newer).";
  }
  return null;
}

/** The WebSocket's address from what people type, "localhost:8998" or a whole one, and what is asked for. */
export function chatAddress(server, query = {}) {
  const url = new URL(/^[a-z]+:\/\//i.test(server) ? server : `ws://${server}`);
  url.protocol = { "http:": "ws:", "https:": "wss:" }[url.protocol] ?? url.protocol;
  if (!/^wss?:$/.test(url.protocol)) throw new Error(`"${server}" is no address; one looks like ws://localhost:8998.`);
  if (!url.pathname.endsWith("/api/chat")) url.pathname = url.pathname.replace(/\/?$/, "/api/chat");
  url.search = new URLSearchParams({ ...query, numbers: 1 });
  url.hash = "";
  return url.href;
}

/**
 * Events: "state" (see `state`), "microphone", "chunk" (40 ms more), "piece" {text, start}, "question" {text, start},
 * "begin" (a new conversation: all is empty), "sampling" {temperature, text_temperature}, "notice" {text}.
 */
export class Conversation extends EventTarget {
  state = "idle"; // "connecting", "waiting" (for a place), "talking"
  microphone = true; // whether the user is heard, or will be
  model = null;
  #open;
  #worklet;
  #wish = null; // {server, query, tokenNeeded}
  #context = null;
  #node = null;
  #track = null;
  #question = null; // the sound that is being played into the conversation
  #next = null; // a question to play once the server listens
  #socket = null;
  #mouth = null;
  #ears = null;
  #timer = null;
  #take = 0; // counts conversations
  #pending; // pieces of text whose sound is not yet played: {text, at}
  #before; // samples received before the conversation began
  #lastMessage; // when it came, milliseconds
  #pinged; // when the last ping went, milliseconds
  #unanswered; // pings

  /** `open(address)` gives what behaves like a WebSocket, `worklet` the address of worklet.js. */
  constructor({ worklet, open = (address) => new WebSocket(address) }) {
    super();
    this.#worklet = worklet;
    this.#open = open;
    this.#forget();
  }

  /** Seconds since the conversation began. */
  get seconds() {
    return this.recording.length / RATE;
  }

  /** Call it from a click: browsers allow sound only then. `wish`: {server, query, tokenNeeded}. */
  async start(wish, { microphone = true, question = null } = {}) {
    if (this.state !== "idle") return;
    this.#tell("notice", { text: "" });
    const lacking = trouble();
    if (lacking) return this.#end(lacking);
    this.#wish = wish;
    this.#next = question;
    this.#set("connecting");
    try {
      await this.#openSound();
      if (this.state === "idle") return; // stopped meanwhile
      this.#connect();
    } catch (error) {
      return this.#end(error.message);
    }
    await this.setMicrophone(microphone);
  }

  stop() {
    if (this.state !== "idle") this.#end("");
  }

  /** Begin anew, by a message where only that is wanted, by a new connection where the wish has changed. */
  restart(wish) {
    if (this.state !== "talking") return;
    this.#question?.stop();
    if (JSON.stringify(wish) === JSON.stringify(this.#wish)) {
      this.#send(CONTROL, Uint8Array.of(RESTART));
      this.#begin();
      return;
    }
    this.#wish = wish;
    this.#set("connecting");
    try {
      this.#connect();
    } catch (error) {
      this.#end(error.message);
    }
  }

  /** Whether the user is heard. Asks for the microphone the first time. */
  async setMicrophone(on) {
    this.microphone = on;
    if (this.#track) this.#track.enabled = on;
    this.#tell("microphone");
    if (!on || this.#track || !this.#context) return;
    const context = this.#context;
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ audio: WISHES });
      const [track] = stream.getAudioTracks();
      if (this.#context !== context || this.#track) return track.stop();
      this.#track = track;
      track.enabled = this.microphone;
      track.onended = () => this.#loseMicrophone("The microphone is gone. Plug it in, then press Microphone.");
      context.createMediaStreamSource(stream).connect(this.#node);
    } catch (error) {
      if (this.#context === context) this.#loseMicrophone(microphoneTrouble(error));
    }
  }

  /** Play a question, {text, url}, to Moshi as if the user spoke it. */
  async ask(question) {
    if (this.state !== "talking") return;
    const [context, take] = [this.#context, this.#take];
    try {
      const reply = await fetch(question.url);
      if (!reply.ok) throw new Error(`the server answers ${reply.status}`);
      const sound = await context.decodeAudioData(await reply.arrayBuffer());
      if (this.#take !== take || this.state !== "talking") return;
      this.#question?.stop();
      const source = (this.#question = new AudioBufferSourceNode(context, { buffer: sound }));
      source.connect(this.#node);
      source.connect(context.destination);
      source.start();
    } catch (error) {
      return this.#tell("notice", { text: `"${question.text}" cannot be played: ${error.message}` });
    }
    const asked = { text: question.text, start: this.seconds };
    this.questions.push(asked);
    this.#tell("question", asked);
  }

  /** What was said and measured, as plain data. */
  transcript() {
    const round = (value) => Math.round(1000 * value) / 1000;
    const timed = (list) => list.map(({ text, start }) => ({ text, start: round(start) }));
    return {
      model: this.model,
      seconds: round(this.seconds),
      text: this.words.map((word) => word.text).join(" "),
      words: timed(this.words),
      questions: timed(this.questions),
      answered_after: this.clock.answers.map(round),
      numbers: this.numbers,
    };
  }

  // ------------------------------------------------------------------------------------------------ sound

  async #openSound() {
    const context = (this.#context = new AudioContext({ latencyHint: "interactive" }));
    await Promise.all([context.resume(), context.audioWorklet.addModule(this.#worklet)]);
    if (this.#context !== context) return;
    const shape = { outputChannelCount: [1], channelCount: 1, channelCountMode: "explicit" };
    this.#node = new AudioWorkletNode(context, "duplex", shape);
    this.#node.port.onmessage = ({ data }) => this.#chunk(data);
    this.#node.connect(context.destination);
    context.onstatechange = () => {
      // a phone call or a lost headset may stop the sound
      if (this.#context === context && context.state !== "running") context.resume().catch(() => {});
    };
  }

  #chunk({ take, user, moshi, waiting, consumed, dropped, gaps }) {
    if (take !== this.#take || this.state !== "talking") return;
    this.recording.push(moshi, user);
    const [spoken, heard] = [loudness(moshi), loudness(user)];
    this.levels.moshi.push(spoken);
    this.levels.user.push(heard);
    this.clock.push(spoken, heard);
    Object.assign(this.numbers, { waiting: waiting / RATE, skipped: dropped / FRAME, gaps });
    const late = this.#mouth.waiting > CODING || (this.#socket.bufferedAmount ?? 0) > BACKLOG;
    if (late) this.numbers.unsent += user.length / FRAME;
    else this.#mouth.push(user);
    while (this.#pending.length && this.#pending[0].at <= consumed) {
      const { text, at } = this.#pending.shift();
      this.#say(text, Math.max(0, this.recording.length - (consumed - at)) / RATE);
    }
    this.#tell("chunk");
  }

  /** A piece of text whose sound is played now. */
  #say(text, start) {
    const word = text.trim();
    if (text.startsWith(" ") || !this.words.length) {
      if (word) this.words.push({ text: word, start });
    } else this.words.at(-1).text += word;
    this.#tell("piece", { text, start });
  }

  #loseMicrophone(text) {
    this.microphone = false;
    this.#track = null;
    this.#tell("microphone");
    this.#tell("notice", { text });
  }

  // --------------------------------------------------------------------------------------------- the wire

  #connect() {
    this.#hangUp();
    const socket = this.#open(chatAddress(this.#wish.server, this.#wish.query));
    this.#socket = socket;
    const current = (act) => (event) => socket === this.#socket && act(event); // an old socket has no say
    const failed = current((error) => this.#end(`The sound cannot be coded: ${error.message}`));
    this.#mouth = new Mouth(current((pages) => this.#send(AUDIO, pages)), failed);
    this.#ears = new Ears(current((pcm) => this.#node.port.postMessage({ pcm }, [pcm.buffer])), failed);
    let [opened, reason] = [false, ""];
    socket.binaryType = "arraybuffer";
    socket.onopen = current(() => {
      opened = true;
      this.#set("waiting");
    });
    socket.onmessage = current(({ data }) => {
      const message = new Uint8Array(data);
      if (message[0] === ERROR) reason = textOf(message);
      else this.#receive(message);
    });
    socket.onclose = current((event) => this.#end(farewell(event.code, reason || event.reason, opened, this.#wish)));
  }

  #receive(message) {
    this.#lastMessage = performance.now();
    const kind = message[0];
    if (kind === HANDSHAKE && this.state !== "talking") {
      this.#set("talking");
      this.#begin();
      this.#timer ??= setInterval(() => this.#eachSecond(), 1000);
      if (this.#next) this.ask(this.#next);
      this.#next = null;
    } else if (kind === AUDIO) this.#ears.push(message.subarray(1));
    else if (kind === TEXT) {
      // the text follows the sound of its frame
      const at = this.#ears.received - this.#before - FRAME;
      this.#pending.push({ text: textOf(message), at });
    } else if (kind === METADATA) this.#learn(JSON.parse(textOf(message)));
    else if (kind === PING) {
      this.numbers.ping = (performance.now() - this.#pinged) / 1000;
      this.#unanswered = 0;
    }
  }

  #learn({ model, frame_ms, frame_ms_99, late, dropped, temperature, text_temperature }) {
    if (model) this.model = model;
    if (frame_ms !== undefined) Object.assign(this.numbers, { frame: frame_ms / 1000, frame99: frame_ms_99 / 1000 });
    if (late !== undefined) this.numbers.late = late + (dropped ?? 0);
    if (temperature !== undefined) this.#tell("sampling", { temperature, text_temperature });
  }

  #eachSecond() {
    if (performance.now() - this.#lastMessage > 1000 * SILENCE) {
      this.#end(`The server has sent nothing for ${SILENCE} seconds. Look at its terminal, then start again.`);
    } else if (this.#unanswered < PATIENCE) {
      this.#unanswered += 1;
      this.#pinged = performance.now();
      this.#send(PING);
    }
  }

  #send(kind, payload = new Uint8Array(0)) {
    if (this.#socket?.readyState === 1) this.#socket.send(joined([Uint8Array.of(kind), payload]));
  }

  // ------------------------------------------------------------------------------------- begin and end

  /** An empty conversation on the same connection. */
  #begin() {
    this.#forget();
    this.#before = this.#ears.received;
    this.#node.port.postMessage({ take: ++this.#take });
    this.#tell("begin");
  }

  #forget() {
    this.recording = new Recording();
    this.clock = new TurnClock();
    this.words = []; // of Moshi: {text, start}
    this.questions = []; // that were played: {text, start}
    this.levels = { moshi: [], user: [] }; // root mean squares, 25 a second
    this.numbers = { unsent: 0 };
    this.#pending = [];
    this.#lastMessage = performance.now();
    this.#unanswered = 0;
  }

  #hangUp() {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    this.#mouth?.close();
    this.#ears?.close();
  }

  #end(text) {
    this.#hangUp();
    clearInterval(this.#timer);
    this.#timer = null;
    this.#track?.stop();
    this.#context?.close();
    this.#context = this.#node = this.#track = this.#question = null;
    this.#set("idle");
    if (text) this.#tell("notice", { text });
  }

  #set(state) {
    this.state = state;
    this.#tell("state");
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

function textOf(message) {
  return new TextDecoder().decode(message.subarray(1));
}

/** Why a connection ended, and what to do. */
function farewell(code, reason, opened, { server, tokenNeeded }) {
  if (code === 1013) return `The server is full: ${reason || "all places are taken"}.`;
  if (opened && reason) return `The server ended the conversation: ${reason}.`;
  if (opened) return "The connection was lost. Start again when you like.";
  if (tokenNeeded) return "The token is missing or wrong. Open the link that the server printed, or type it below.";
  return `No Moshi answers at ${server}. Is "minimoshi serve" running there? Its terminal says what is wrong.`;
}

function microphoneTrouble(error) {
  const advice = {
    NotAllowedError: "The microphone is blocked. Allow it in the browser's address bar, then press Microphone.",
    NotFoundError: "There is no microphone. Plug one in, then press Microphone.",
    NotReadableError: "The microphone is in use by another program. Close that, then press Microphone.",
  };
  const text = advice[error.name] ?? `The microphone does not work: ${error.message}.`;
  return `${text} Until then, play Moshi one of the questions.`;
}
