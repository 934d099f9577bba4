// What is kept of a conversation: both voices aligned to the sample, and how long Moshi takes to answer.

import { CHUNK, RATE } from "./duplex.js";

const BLOB = 250; // chunks: every 10 s go into a Blob, which the browser may keep on disk
const LOUD = 0.01; // root mean square, -40 dB of full scale: somebody speaks
const TURN = 3; // loud chunks, 120 ms: less is a click, no turn
const PAUSE = 10; // quiet chunks, 400 ms, before Moshi's sound counts as a new beginning
const FASTEST = 0.1; // seconds; sound that begins sooner was not caused by the user's end
const SLOWEST = 4;

/** Stereo sound, 24 kHz, left Moshi, right the user. */
export class Recording {
  length = 0; // samples of each side
  #blobs = [];
  #fresh = [];

  push(moshi, user) {
    const both = new Int16Array(2 * moshi.length);
    for (let i = 0; i < moshi.length; i++) {
      both[2 * i] = toInt16(moshi[i]);
      both[2 * i + 1] = toInt16(user[i]);
    }
    this.#fresh.push(both);
    this.length += moshi.length;
    if (this.#fresh.length === BLOB) this.#blobs.push(new Blob(this.#fresh.splice(0)));
  }

  /** A WAV file, 16 bits. */
  wav() {
    const bytes = 4 * this.length;
    const view = new DataView(new ArrayBuffer(44));
    const write = (at, text) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
    write(0, "RIFF");
    view.setUint32(4, 36 + bytes, true);
    write(8, "WAVEfmt ");
    view.setUint32(16, 16, true);
    view.setUint16(20, 1, true); // PCM
    view.setUint16(22, 2, true); // channels
    view.setUint32(24, RATE, true);
    view.setUint32(28, 4 * RATE, true);
    view.setUint16(32, 4, true);
    view.setUint16(34, 16, true);
    write(36, "data");
    view.setUint32(40, bytes, true);
    return new Blob([view, ...this.#blobs, ...this.#fresh], { type: "audio/wav" });
  }
}

function toInt16(value) {
  return Math.round(32767 * Math.max(-1, Math.min(1, value)));
}

/** Root mean square of a chunk, 0 to 1. */
export function loudness(pcm) {
  return Math.sqrt(pcm.reduce((sum, value) => sum + value * value, 0) / pcm.length);
}

/** From the end of the user's turn to the begin of Moshi's, measured on what the loudspeaker and the microphone had. */
export class TurnClock {
  answers = []; // seconds
  #chunks = 0;
  #spoken = 0; // loud chunks of the user since the last answer
  #end = 0; // the chunk after the user's last loud one
  #quiet = PAUSE; // quiet chunks of Moshi up to now

  push(moshi, user) {
    if (user >= LOUD) {
      this.#spoken += 1;
      this.#end = this.#chunks + 1;
    }
    if (moshi >= LOUD) {
      if (this.#quiet >= PAUSE && this.#spoken >= TURN) this.#answer(((this.#chunks - this.#end) * CHUNK) / RATE);
      this.#quiet = 0;
    } else this.#quiet += 1;
    this.#chunks += 1;
  }

  #answer(seconds) {
    if (seconds < FASTEST) return; // both speak at once
    if (seconds <= SLOWEST) this.answers.push(seconds);
    this.#spoken = 0;
  }
}
