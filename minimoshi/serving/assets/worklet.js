// On the audio thread: one node hears and speaks, so that what was said and what was heard stay aligned to the sample.

import { CHUNK, JitterBuffer, RATE, Resampler } from "./duplex.js";

class Duplex extends AudioWorkletProcessor {
  #down = new Resampler(sampleRate, RATE);
  #up = new Resampler(RATE, sampleRate);
  #ear = [new Float32Array(64)]; // at the device's rate; a little ahead, since the resamplers give uneven portions
  #take = 0; // which conversation this is; chunks of one that is over are told by it

  constructor() {
    super();
    this.#begin(0);
    this.port.onmessage = ({ data }) => {
      if (data.pcm) this.buffer.push(data.pcm);
      else this.#begin(data.take);
    };
  }

  #begin(take) {
    this.#take = take;
    this.buffer = new JitterBuffer();
    this.filled = 0;
    this.#chunk();
  }

  #chunk() {
    [this.user, this.moshi] = [new Float32Array(CHUNK), new Float32Array(CHUNK)];
  }

  process([input], [output]) {
    const mouth = this.#down.push(input[0] ?? new Float32Array(output[0].length));
    const voice = this.buffer.pull(mouth.length);
    this.#speak(voice, output);
    for (let i = 0; i < mouth.length; i++) {
      this.user[this.filled] = mouth[i];
      this.moshi[this.filled++] = voice[i];
      if (this.filled === CHUNK) this.#tell();
    }
    return true;
  }

  #speak(voice, output) {
    this.#ear.push(this.#up.push(voice));
    let at = 0;
    while (at < output[0].length && this.#ear.length) {
      const part = this.#ear[0].subarray(0, output[0].length - at);
      output[0].set(part, at);
      at += part.length;
      if (part.length < this.#ear[0].length) this.#ear[0] = this.#ear[0].subarray(part.length);
      else this.#ear.shift();
    }
  }

  #tell() {
    const { user, moshi, buffer } = this;
    const { waiting, consumed, dropped, gaps } = buffer;
    const chunk = { take: this.#take, user, moshi, waiting, consumed, dropped, gaps };
    this.port.postMessage(chunk, [user.buffer, moshi.buffer]);
    this.filled = 0;
    this.#chunk();
  }
}

registerProcessor("duplex", Duplex);
