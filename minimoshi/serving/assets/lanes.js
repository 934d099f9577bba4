// Both voices as two lanes over time, words where they are spoken.

import { CHUNK, RATE } from "./duplex.js";

const CHUNKS_A_SECOND = RATE / CHUNK;
const QUIETEST = -50; // dB of full scale at the foot of a bar
const ROWS = 3; // of words above Moshi's lane, so that neighbours do not cover one another
const ROW = 18; // pixels
const LONGEST = 4; // seconds: no text reaches further to the right
const [PICTURE, STILL] = [40, 500]; // milliseconds between pictures, and where motion is unwelcome

export class Lanes {
  #canvas;
  #talk;
  #still = matchMedia("(prefers-reduced-motion: reduce)");
  #moving = false;

  constructor(canvas, conversation) {
    this.#canvas = canvas;
    this.#talk = conversation;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    for (const event of ["state", "begin"]) conversation.addEventListener(event, () => this.#move());
    this.draw();
  }

  /** Draw again and again while somebody talks. */
  #move() {
    if (this.#moving) return;
    this.draw();
    if (this.#talk.state !== "talking") return;
    this.#moving = true;
    const again = () => {
      this.#moving = false;
      this.#move();
    };
    setTimeout(() => requestAnimationFrame(again), this.#still.matches ? STILL : PICTURE);
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    if (!width) return;
    const scale = devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * scale)) this.#canvas.width = Math.round(width * scale);
    if (this.#canvas.height !== Math.round(height * scale)) this.#canvas.height = Math.round(height * scale);
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.#canvas);
    pen.font = `${style.fontSize} ${style.fontFamily}`;
    pen.textBaseline = "middle";
    const color = (name) => style.getPropertyValue(name);

    const span = width < 480 ? 5 : 8; // seconds that are seen
    const { seconds } = this.#talk;
    // the picture glides, or turns like a page where motion is unwelcome
    const from = this.#still.matches ? Math.floor(seconds / span) * span : Math.max(0, seconds - span);
    const x = (time) => ((time - from) / span) * width;

    const top = ROWS * ROW + 6;
    const lane = (height - top - 2 * ROW) / 2;
    this.#ticks(pen, color("--line"), color("--muted"), { from, span, x, top, height });
    this.#bars(pen, this.#talk.levels.moshi, color("--moshi"), { from, span, x, top, lane });
    this.#bars(pen, this.#talk.levels.user, color("--you"), { from, span, x, top: top + lane, lane });
    this.#name(pen, "Moshi", color("--moshi"), color("--card"), top + 10);
    this.#name(pen, "You", color("--you"), color("--card"), top + lane + 10);
    this.#words(pen, color("--text"), { from, x });
    this.#questions(pen, color("--you"), { from, x, y: height - 1.5 * ROW });
  }

  #ticks(pen, line, muted, { from, span, x, top, height }) {
    for (let second = Math.ceil(from); second <= from + span; second++) {
      pen.fillStyle = line;
      pen.fillRect(Math.round(x(second)), top, 1, height - top);
      pen.fillStyle = muted;
      pen.fillText(`${second} s`, x(second) + 4, height - ROW / 2);
    }
  }

  #bars(pen, levels, color, { from, span, x, top, lane }) {
    const middle = top + lane / 2;
    const width = x(from + 1 / CHUNKS_A_SECOND);
    pen.fillStyle = color;
    const last = Math.min(levels.length, Math.ceil((from + span) * CHUNKS_A_SECOND));
    for (let chunk = Math.floor(from * CHUNKS_A_SECOND); chunk < last; chunk++) {
      const level = 20 * Math.log10(Math.max(1e-6, levels[chunk]));
      const half = Math.max(0.5, (lane / 2) * Math.min(1, 1 - level / QUIETEST));
      pen.fillRect(x(chunk / CHUNKS_A_SECOND), middle - half, Math.max(1, width - 1), 2 * half);
    }
  }

  #name(pen, text, color, ground, y) {
    pen.fillStyle = ground;
    pen.fillRect(4, y - ROW / 2, pen.measureText(text).width + 8, ROW);
    pen.fillStyle = color;
    pen.fillText(text, 8, y);
  }

  /** Each word stands where it begins, by turns in one of the rows. */
  #words(pen, color, { from, x }) {
    const { words } = this.#talk;
    pen.fillStyle = color;
    for (let i = words.length - 1; i >= 0 && words[i].start > from - LONGEST; i--) {
      pen.fillText(words[i].text, x(words[i].start), ((i % ROWS) + 0.5) * ROW + 2);
    }
  }

  #questions(pen, color, { from, x, y }) {
    const { questions } = this.#talk;
    const { text, start } = questions.at(-1) ?? {};
    pen.fillStyle = color;
    if (text && start > from - LONGEST) pen.fillText(text, x(start), y);
  }
}
