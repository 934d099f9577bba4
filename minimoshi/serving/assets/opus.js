// Opus by the browser's own codec (WebCodecs), in the Ogg pages of the wire.

import { CHUNK, RATE } from "./duplex.js";
import { OpusReader, OpusWriter, packetSamples } from "./ogg.js";

const PACKET = 480; // samples: 20 ms, as the official client; a chunk's packets go into one page
const BITRATE = 64000;

/** Chunks of 960 samples in, bytes for an audio message out to `send`. */
export class Mouth {
  #writer = new OpusWriter(RATE);
  #packets = [];
  #time = 0; // microseconds
  #codec;

  constructor(send, fail) {
    this.#codec = new AudioEncoder({ output: (chunk) => this.#collect(chunk, send), error: fail });
    this.#codec.configure({
      codec: "opus",
      sampleRate: RATE,
      numberOfChannels: 1,
      bitrate: BITRATE,
      opus: { frameDuration: (PACKET / RATE) * 1e6, complexity: 5 },
    });
  }

  /** Chunks that are not yet coded. */
  get waiting() {
    return this.#codec.encodeQueueSize;
  }

  push(pcm) {
    const shape = { format: "f32-planar", sampleRate: RATE, numberOfChannels: 1, numberOfFrames: pcm.length };
    const data = new AudioData({ ...shape, timestamp: this.#time, data: pcm });
    this.#time += (pcm.length / RATE) * 1e6;
    this.#codec.encode(data);
    data.close();
  }

  /** Nothing comes out any more. */
  close() {
    if (this.#codec.state !== "closed") this.#codec.close();
  }

  #collect(chunk, send) {
    const packet = new Uint8Array(chunk.byteLength);
    chunk.copyTo(packet);
    this.#packets.push(packet);
    if (this.#packets.length < CHUNK / PACKET) return;
    send(this.#writer.pages(this.#packets.splice(0)));
  }
}

/** Bytes of audio messages in, samples at 24 kHz out to `play`. */
export class Ears {
  received = 0; // samples at 24 kHz that have come, those still being decoded included
  #reader = new OpusReader();
  #time = 0; // microseconds
  #codec;

  constructor(play, fail) {
    this.#codec = new AudioDecoder({ output: (data) => play(pcmOf(data)), error: fail });
    this.#codec.configure({ codec: "opus", sampleRate: RATE, numberOfChannels: 1 });
  }

  push(bytes) {
    for (const packet of this.#reader.push(bytes)) {
      if (this.#codec.state === "closed") return;
      const samples = packetSamples(packet);
      this.received += samples / 2;
      this.#codec.decode(new EncodedAudioChunk({ type: "key", timestamp: this.#time, data: packet }));
      this.#time += (samples / 48000) * 1e6;
    }
  }

  close() {
    if (this.#codec.state !== "closed") this.#codec.close();
  }
}

/**
 * Browsers decode Opus to 48 kHz. The wire's encoders work at 24 kHz, so nothing lies above 12 kHz and every second
 * sample is the sound; an Opus decoder that is asked for 24 kHz does the same.
 */
function pcmOf(data) {
  const all = new Float32Array(data.numberOfFrames);
  data.copyTo(all, { planeIndex: 0, format: "f32-planar" });
  const step = Math.round(data.sampleRate / RATE);
  data.close();
  return step === 1 ? all : Float32Array.from({ length: all.length / step }, (_, i) => all[i * step]);
}
