// The audio thread's parts: from the device's rate to 24 kHz and back, and where Moshi's sound waits to be heard.

export const RATE = 24000; // samples a second, of the codec and of the wire
export const CHUNK = 960; // samples: 40 ms, the portion in which sound goes on from here
const FRAME = 1920; // samples: 80 ms, what the server sends at once
const MARGIN = 960; // samples: sound plays this long after a whole frame is here; lateness below it is not heard
const WIDER = 480; // samples by which a gap widens the margin
const WIDEST = 2880;
const EXCESS = 3840; // samples beyond frame and margin that may wait; more is dropped, or the delay would grow

/** A stream from one rate to another: windowed sinc, exact for any whole rates. `push(pcm)` gives what is ready. */
export class Resampler {
  #phases = []; // the filter at each fraction of a sample that occurs
  #up;
  #down;
  #taps;
  #phase = 0;
  #next = 0; // where in `rest` the filter stands
  #rest;

  constructor(from, to) {
    const common = greatestCommonDivisor(from, to);
    [this.#up, this.#down] = [to / common, from / common];
    const half = Math.ceil(16 * Math.max(1, from / to));
    const cutoff = 0.95 * Math.min(1, to / from);
    this.#taps = 2 * half;
    this.#rest = new Float32Array(this.#taps - 1);
    for (let phase = 0; phase < this.#up; phase++) {
      const filter = new Float64Array(this.#taps);
      for (let tap = 0; tap < this.#taps; tap++) filter[tap] = sinc(tap - half + 1 - phase / this.#up, cutoff, half);
      const sum = filter.reduce((a, b) => a + b);
      this.#phases.push(Float32Array.from(filter, (value) => value / sum));
    }
  }

  push(pcm) {
    const data = new Float32Array(this.#rest.length + pcm.length);
    data.set(this.#rest);
    data.set(pcm, this.#rest.length);
    const out = [];
    while (this.#next + this.#taps <= data.length) {
      const filter = this.#phases[this.#phase];
      let sum = 0;
      for (let tap = 0; tap < this.#taps; tap++) sum += filter[tap] * data[this.#next + tap];
      out.push(sum);
      this.#phase += this.#down;
      this.#next += Math.floor(this.#phase / this.#up);
      this.#phase %= this.#up;
    }
    const done = Math.min(this.#next, data.length);
    this.#rest = data.slice(done);
    this.#next -= done;
    return Float32Array.from(out);
  }
}

function sinc(distance, cutoff, half) {
  const x = Math.PI * cutoff * distance;
  const window = 0.5 + 0.5 * Math.cos((Math.PI * distance) / half);
  return (x === 0 ? 1 : Math.sin(x) / x) * window;
}

function greatestCommonDivisor(a, b) {
  return b ? greatestCommonDivisor(b, a % b) : a;
}

/**
 * Sound between the network and the ear. It starts when a frame and a margin are here; a gap widens the margin; what
 * would make the delay grow is dropped, the oldest first.
 */
export class JitterBuffer {
  waiting = 0; // samples that have come and are not yet played
  consumed = 0; // samples of the stream that were played or dropped
  dropped = 0;
  gaps = 0; // times that sound ran out
  #queue = [];
  #margin = MARGIN;
  #holdOff = MARGIN; // samples until sound starts, once a frame is here
  #filling = true;

  push(pcm) {
    this.#queue.push(pcm);
    this.waiting += pcm.length;
    const most = FRAME + this.#margin;
    if (this.waiting > most + EXCESS) {
      this.dropped += this.waiting - most;
      this.#take(this.waiting - most);
    }
  }

  /** The next `length` samples for the ear: silence where there is no sound. */
  pull(length) {
    const out = new Float32Array(length);
    if (this.#filling) {
      if (this.waiting >= FRAME) this.#holdOff -= length;
      if (this.waiting < FRAME || this.#holdOff > 0) return out;
      this.#filling = false;
    }
    const sound = this.#take(Math.min(length, this.waiting));
    out.set(sound);
    if (sound.length < length) {
      for (let i = 0; i < sound.length; i++) out[i] *= 1 - i / sound.length; // no click
      this.gaps += 1;
      this.#margin = Math.min(this.#margin + WIDER, WIDEST);
      this.#holdOff = this.#margin;
      this.#filling = true;
    }
    return out;
  }

  #take(length) {
    const taken = new Float32Array(length);
    for (let at = 0; at < length; ) {
      const part = this.#queue[0].subarray(0, length - at);
      taken.set(part, at);
      at += part.length;
      if (part.length < this.#queue[0].length) this.#queue[0] = this.#queue[0].subarray(part.length);
      else this.#queue.shift();
    }
    this.waiting -= length;
    this.consumed += length;
    return taken;
  }
}
