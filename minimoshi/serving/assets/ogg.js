// Ogg pages with Opus inside (RFC 3533, RFC 7845): what the wire's audio messages hold.

const HEADER = 27; // bytes before the table of segments
const CAPTURE = [0x4f, 0x67, 0x67, 0x53, 0]; // "OggS" and the version
const CONTINUED = 1;
const FIRST = 2;
const PRE_SKIP = 3840; // as the official encoders write; nobody on this wire trims it
const LONGEST_PACKET = 61440; // bytes: 120 ms, the longest that Opus knows, and then some

const CRC = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte << 24;
  for (let bit = 0; bit < 8; bit++) value = value & 0x80000000 ? (value << 1) ^ 0x04c11db7 : value << 1;
  return value;
});

/** Ogg's checksum of a page whose own checksum field counts as zero. */
export function pageChecksum(page) {
  let sum = 0;
  for (let i = 0; i < page.length; i++) {
    const byte = i >= 22 && i < 26 ? 0 : page[i];
    sum = ((sum << 8) ^ CRC[(sum >>> 24) ^ byte]) >>> 0;
  }
  return sum;
}

/** How long an Opus packet sounds, in samples at 48 kHz; 0 for what is no packet (RFC 6716, section 3.1). */
export function packetSamples(packet) {
  if (!packet.length) return 0;
  const config = packet[0] >> 3;
  let frame = 120 << (config & 3); // CELT: 2.5 to 20 ms
  if (config < 12) frame = [480, 960, 1920, 2880][config & 3]; // SILK: 10 to 60 ms
  else if (config < 16) frame = config & 1 ? 960 : 480; // hybrid
  const code = packet[0] & 3;
  if (code === 3) return packet.length < 2 ? 0 : frame * (packet[1] & 63);
  return code ? 2 * frame : frame;
}

/** Opus packets to pages. Mono; `pages(packets)` gives one page, the first time with the two headers before it. */
export class OpusWriter {
  #serial;
  #sequence = 0;
  #granule = 0;
  #rate;

  constructor(rate = 24000, serial = 42) {
    this.#rate = rate;
    this.#serial = serial;
  }

  pages(packets) {
    const headers = this.#sequence ? [] : [this.#page([this.#head()], FIRST, 0), this.#page([this.#tags()], 0, 0)];
    this.#granule += packets.reduce((sum, packet) => sum + packetSamples(packet), 0);
    return joined([...headers, this.#page(packets, 0, this.#granule)]);
  }

  #head() {
    const head = new Uint8Array(19);
    const view = new DataView(head.buffer);
    head.set(ascii("OpusHead"));
    head[8] = 1; // version
    head[9] = 1; // channel
    view.setUint16(10, PRE_SKIP, true);
    view.setUint32(12, this.#rate, true);
    return head;
  }

  #tags() {
    const vendor = ascii("minimoshi");
    const length = Uint8Array.of(vendor.length, 0, 0, 0);
    return joined([ascii("OpusTags"), length, vendor, new Uint8Array(4)]); // no comments
  }

  #page(packets, flags, granule) {
    const lacing = packets.flatMap(({ length }) => [...Array(Math.floor(length / 255)).fill(255), length % 255]);
    if (lacing.length > 255) throw new RangeError(`a page holds 255 segments, these packets need ${lacing.length}`);
    const page = joined([new Uint8Array(HEADER), Uint8Array.from(lacing), ...packets]);
    const view = new DataView(page.buffer);
    page.set(CAPTURE);
    page[5] = flags;
    view.setBigUint64(6, BigInt(granule), true);
    view.setUint32(14, this.#serial, true);
    view.setUint32(18, this.#sequence++, true);
    page[26] = lacing.length;
    view.setUint32(22, pageChecksum(page), true);
    return page;
  }
}

/** Pages to Opus packets, headers left out. `push(bytes)` takes any cut of the stream; what is damaged is skipped. */
export class OpusReader {
  damaged = 0; // bytes that belonged to no good page
  #rest = new Uint8Array(0);
  #begun = null; // the parts of a packet that goes on in the next page
  #sequence = null;

  push(bytes) {
    const data = joined([this.#rest, bytes]);
    const packets = [];
    let at = 0;
    for (;;) {
      const start = find(data, at);
      this.damaged += start - at;
      at = start;
      const length = pageLength(data, at);
      if (length === null) break; // the page is not complete
      const page = data.subarray(at, at + length);
      if (pageChecksum(page) !== view(page).getUint32(22, true)) {
        this.damaged += 1; // look for the next page from here
        at += 1;
        continue;
      }
      packets.push(...this.#read(page));
      at += length;
    }
    this.#rest = data.slice(at);
    return packets.filter((packet) => !startsWith(packet, "OpusHead") && !startsWith(packet, "OpusTags"));
  }

  #read(page) {
    const sequence = view(page).getUint32(18, true);
    const follows = page[5] & CONTINUED && this.#begun && sequence === this.#sequence + 1;
    let parts = follows ? this.#begun : [];
    let lost = page[5] & CONTINUED && !follows; // the end of a packet whose begin never came
    let at = HEADER + page[26];
    const packets = [];
    for (const size of page.subarray(HEADER, at)) {
      parts.push(page.slice(at, at + size));
      at += size;
      if (size === 255) continue;
      const packet = joined(parts);
      if (!lost && packet.length && packet.length <= LONGEST_PACKET) packets.push(packet);
      parts = [];
      lost = false;
    }
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    this.#begun = parts.length && !lost && size <= LONGEST_PACKET ? parts : null;
    this.#sequence = sequence;
    return packets;
  }
}

/** Bytes of the page at `at`, null where its end has not come yet. */
function pageLength(data, at) {
  if (data.length < at + HEADER) return null;
  const segments = data[at + 26];
  if (data.length < at + HEADER + segments) return null;
  let length = HEADER + segments;
  for (let i = 0; i < segments; i++) length += data[at + HEADER + i];
  return data.length < at + length ? null : length;
}

/** Where the next page may begin: its mark, or as much of it as has come, or the end. */
function find(data, at) {
  for (; at < data.length; at++) {
    if (CAPTURE.every((byte, i) => at + i >= data.length || data[at + i] === byte)) break;
  }
  return at;
}

function view(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function startsWith(packet, text) {
  return packet.length >= text.length && ascii(text).every((byte, i) => packet[i] === byte);
}

function ascii(text) {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** Byte arrays end to end. */
export function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
