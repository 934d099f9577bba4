"""The page in a real browser, against a server that echoes; its parts against sphn and against arithmetic."""

import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
import soundfile
import sphn

from tests.serving.browser import CHROMIUM, OPTIONS, needs_chromium, saved
from tests.serving.page_stub import DELAY, FRAME, RATE, Stub, tone, wav

pytestmark = needs_chromium

PATIENCE = 60_000  # milliseconds: a machine may be busy
NO_MICROPHONE = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', 'NotAllowedError') }"
SPY = "window.shifts = 0; new PerformanceObserver((list) => list.getEntries().forEach((e) => shifts += e.value))"
SPY += ".observe({type: 'layout-shift', buffered: true})"


@pytest.fixture(scope="module")
def stub() -> Iterator[Stub]:
    stub = Stub()
    yield stub
    stub.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Its microphone plays a tone between silences, again and again; `page.test` is another name of this machine."""
    from playwright.sync_api import sync_playwright

    spoken = tmp_path_factory.mktemp("page") / "microphone.wav"
    spoken.write_bytes(wav(np.pad(tone(1.0, 48_000), (24_000, 24_000)), 48_000))
    options = [*OPTIONS, f"--use-file-for-fake-audio-capture={spoken}", "--host-resolver-rules=MAP page.test 127.0.0.1"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, stub):
    """A fresh page, not yet at any address; errors and forbidden loads in it fail the test."""
    stub.reset()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text) if "Security Policy" in line.text else None)
    yield page
    context.close()
    assert not complaints


def visit(page, stub: Stub, query: str = "", host: str = "localhost") -> None:
    page.goto(f"http://{host}:{stub.port}/{query}")
    page.wait_for_selector(".go")


def talking(page) -> None:
    page.wait_for_selector("[data-state=talking]")


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, int]:
    """The best correlation of `b` with `a`, and by how many samples `b` is later."""
    size = 1 << int(np.ceil(np.log2(len(a) + len(b))))
    match = np.fft.irfft(np.conj(np.fft.rfft(a, size)) * np.fft.rfft(b, size))
    lag = int(match.argmax())
    return float(match[lag] / np.sqrt((a**2).sum() * (b**2).sum())), lag if lag < len(b) else lag - size


def resemblance(piece: np.ndarray, whole: np.ndarray) -> float:
    """The correlation of a piece with that part of the whole which it resembles most."""
    size = 1 << int(np.ceil(np.log2(len(whole) + len(piece))))
    match = np.fft.irfft(np.conj(np.fft.rfft(piece, size)) * np.fft.rfft(whole, size))[: len(whole) - len(piece)]
    at = int(match.argmax())
    part = whole[at : at + len(piece)]
    return float(piece @ part / np.sqrt((piece @ piece) * (part @ part)))


# ------------------------------------------------------------------------------------------------- conversation


def test_a_spoken_question_is_heard_answered_shown_and_saved(page, stub):
    visit(page, stub)
    page.click(".go")
    talking(page)
    page.wait_for_selector(".log >> text=seven")
    page.wait_for_selector(".n-frame >> text=18 ms")
    page.wait_for_selector(".n-ping >> text=ms")
    page.wait_for_timeout(2000)
    page.click(".go")
    page.wait_for_selector("[data-state=idle]")
    stereo, rate = soundfile.read(io.BytesIO(saved(page, ".wav")), dtype="float32")
    words = json.loads(saved(page, ".json"))

    moshi, user = stereo.T
    assert rate == RATE and np.abs(user).max() > 0.05
    assert words["words"][0]["text"] == "seven" and words["text"].split() == ["seven"] * len(words["words"])
    assert all(0 < word["start"] <= words["seconds"] for word in words["words"])
    assert words["seconds"] == pytest.approx(len(stereo) / RATE) and words["numbers"]["late"] == 3
    # what is saved is what the server got; a busy machine leaves sound out, so compare pieces
    pieces = [piece for piece in stub.heard[-1].reshape(-1, FRAME) if np.abs(piece).max() > 0.1]
    assert max(resemblance(piece, user) for piece in pieces) > 0.95
    # Moshi's side is the echo, later than the user by at least the stub's delay
    loud = [int(np.argmax(np.abs(side) > 0.05)) for side in (user, moshi)]
    assert np.abs(moshi).max() > 0.05 and loud[1] - loud[0] >= DELAY * FRAME - FRAME


def test_space_mutes_and_the_server_then_hears_silence(page, stub):
    visit(page, stub)
    page.click(".go")
    talking(page)
    page.wait_for_selector(".n-time >> text=/0:0[3-9]/")
    page.keyboard.press(" ")
    assert page.get_attribute(".mic", "aria-pressed") == "false" and "off" in page.inner_text(".mic")
    page.wait_for_timeout(1500)  # what was on its way
    before = len(stub.heard[-1])
    page.wait_for_timeout(3000)  # longer than the recording repeats itself
    after = stub.heard[-1][before:]
    assert len(after) and np.abs(after).max() < 1e-3 < np.abs(stub.heard[-1][:before]).max()
    page.keyboard.press(" ")
    assert page.get_attribute(".mic", "aria-pressed") == "true"


def test_a_sample_question_starts_a_conversation_without_microphone(page, stub):
    page.add_init_script(NO_MICROPHONE)
    visit(page, stub)
    page.click("text=what is three plus four")
    page.wait_for_selector(".log >> text=what is three plus four")
    page.wait_for_selector(".n-answer >> text=ms")
    assert page.get_attribute(".mic", "aria-pressed") == "false" and page.inner_text(".notice") == ""
    words = json.loads(saved(page, ".json"))
    assert [question["text"] for question in words["questions"]] == ["what is three plus four"]
    assert np.abs(stub.heard[-1]).max() > 0.1
    # the echo begins 0.96 s after the begin of 0.4 s of sound, or later
    assert all(0.5 < seconds <= 4 for seconds in words["answered_after"])


def test_restart_is_a_message_or_with_other_settings_a_new_connection(page, stub):
    visit(page, stub, "?token=abc")
    page.click("text=count to nine")
    page.wait_for_selector(".log >> text=seven")
    page.click(".again")
    assert "count to nine" not in page.inner_text(".log")
    page.wait_for_selector(".n-time >> text=0:00")
    page.wait_for_selector(".log >> text=seven")
    assert stub.controls == [3] and stub.queries == [{"token": "abc"}]

    page.focus("[name=text_temperature]")
    page.keyboard.press("Home")
    page.click("summary")
    page.fill("[name=seed]", "7")
    page.click(".again")
    talking(page)
    page.wait_for_selector(".log >> text=seven")
    assert stub.queries[1:] == [{"token": "abc", "text_temperature": "0", "text_seed": "7", "audio_seed": "7"}]
    assert len(stub.heard) == 3 and stub.controls == [3]


def test_the_servers_own_sampling_is_shown_and_not_asked_for(page, stub):
    visit(page, stub)
    page.click("text=stop")
    talking(page)
    page.wait_for_selector(".value >> text=0.60")
    assert page.input_value("[name=text_temperature]") == "0.5" and stub.queries == [{}]


def test_by_keyboard_alone(page, stub):
    visit(page, stub)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    talking(page)
    page.keyboard.press(" ")  # mutes; it must not stop what Enter began
    page.wait_for_selector(".mic[aria-pressed=false]")
    assert page.get_attribute(".minimoshi", "data-state") == "talking"


# -------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("mood", "token_needed", "notice"),
    [("full", False, "server is full"), ("locked", True, "token is missing"), ("locked", False, "No Moshi answers")],
)
def test_a_refusal_says_what_to_do(page, stub, mood, token_needed, notice):
    stub.mood, stub.token_needed = mood, token_needed
    visit(page, stub, "?token=wrong")
    page.click(".go")
    page.wait_for_selector(f".notice >> text={notice}")
    assert page.get_attribute(".minimoshi", "data-state") == "idle" and page.is_enabled(".go")


def test_who_waits_for_a_place_is_told_and_may_leave(page, stub):
    stub.mood = "slow"
    visit(page, stub)
    page.click(".go")
    page.wait_for_selector("[data-state=waiting]")
    assert "Waiting" in page.inner_text(".state")
    page.click(".go")
    page.wait_for_selector("[data-state=idle]")


def test_a_refused_microphone_leaves_the_conversation_running(page, stub):
    page.add_init_script(NO_MICROPHONE)
    visit(page, stub)
    page.click(".go")
    page.wait_for_selector(".notice >> text=The microphone is blocked")
    talking(page)
    assert page.get_attribute(".mic", "aria-pressed") == "false"


def test_without_webcodecs_the_page_names_browsers_that_have_them(page, stub):
    page.add_init_script("delete window.AudioEncoder")
    visit(page, stub)
    assert "cannot encode Opus" in page.inner_text(".notice")
    page.click(".go")
    assert page.get_attribute(".minimoshi", "data-state") == "idle"


def test_plain_http_from_elsewhere_says_how_to_come_in(page, stub):
    visit(page, stub, host="page.test")
    notice = page.inner_text(".notice")
    assert "https" in notice and f"ssh -L {stub.port}:localhost:{stub.port}" in notice


def test_a_wrong_server_address_is_refused(page, stub):
    visit(page, stub)
    page.click("summary")
    page.fill("[name=server]", "ftp://moshi")
    page.click(".go")
    page.wait_for_selector(".notice >> text=looks like ws://localhost:8998")


# --------------------------------------------------------------------------------------------------------- the looks


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_overflows_or_jumps(page, stub, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.add_init_script(SPY)
    visit(page, stub)
    page.click("text=hello there")
    page.wait_for_selector(".log >> text=seven")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("shifts") < 0.02


def test_every_control_has_a_name(page, stub):
    visit(page, stub)
    page.click("summary")
    named = "(all) => all.map((each) => each.labels?.[0]?.innerText ?? each.innerText)"
    names = page.eval_on_selector_all("button, input", named)
    assert len(names) == 5 + 5 + 5 and all(name.strip() for name in names)


# ------------------------------------------------------------------------------------------------------------ parts

READ = """async ({bytes, cuts}) => {
  const { OpusReader, OpusWriter, packetSamples } = await import("/assets/ogg.js");
  const [reader, writer, data] = [new OpusReader(), new OpusWriter(), Uint8Array.from(bytes)];
  const packets = [];
  let at = 0;
  for (const cut of [...cuts, data.length]) { packets.push(...reader.push(data.subarray(at, cut))); at = cut; }
  const written = packets.flatMap((packet) => [...writer.pages([packet])]);
  return { packets: packets.map((p) => [...p]), written, damaged: reader.damaged,
           samples: packets.reduce((sum, p) => sum + packetSamples(p), 0) };
}"""


def read(page, data: bytes, cuts: list[int]) -> dict:
    """What ogg.js makes of a stream cut at these places, and what it writes of it."""
    return page.evaluate(READ, {"bytes": list(data), "cuts": cuts})


def pages(pcm: np.ndarray) -> list[bytes]:
    writer = sphn.OpusStreamWriter(RATE)
    return [writer.append_pcm(frame) for frame in pcm.reshape(-1, FRAME)]


def ogg_page(body: bytes, lacing: list[int], flags: int, sequence: int) -> bytes:
    header = b"OggS\0" + bytes([flags]) + bytes(8) + (42).to_bytes(4, "little") + sequence.to_bytes(4, "little")
    whole = header + bytes(4) + bytes([len(lacing)]) + bytes(lacing) + body
    checksum = 0
    for byte in whole:
        checksum ^= byte << 24
        for _ in range(8):
            checksum = (checksum << 1 ^ (0x104C11DB7 if checksum >> 31 else 0)) & 0xFFFFFFFF
    return whole[:22] + checksum.to_bytes(4, "little") + whole[26:]


@pytest.fixture(scope="module")
def workshop(browser, stub):
    """A page from where the modules can be had."""
    page = browser.new_page()
    page.goto(f"http://localhost:{stub.port}/assets/style.css")
    yield page
    page.close()


def test_pages_are_read_as_sphn_writes_them_whatever_the_cuts(workshop):
    pcm = np.pad(tone(0.8), (0, 20 * FRAME - int(0.8 * RATE)))
    stream = b"".join(pages(pcm))
    whole = read(workshop, stream, [])
    assert whole["samples"] == 2 * len(pcm) and len(whole["packets"]) == 40 and not whole["damaged"]
    cuts = np.random.default_rng(0)
    for cut in (sorted(cuts.integers(0, len(stream), 50).tolist()), list(range(len(stream)))):
        assert read(workshop, stream, cut) == whole
    # and sphn reads what the page writes of the same packets
    heard = [sphn.OpusStreamReader(RATE).append_bytes(data) for data in (stream, bytes(whole["written"]))]
    assert len(heard[0]) == len(pcm) and np.array_equal(*heard)


def test_damage_costs_the_damaged_page_alone(workshop):
    parts = pages(tone(0.8))
    good = read(workshop, b"".join(parts), [])["packets"]
    spoilt = bytearray(parts[4])
    spoilt[-1] ^= 1  # the second of its two pages
    found = read(workshop, b"".join([*parts[:2], b"OggS noise OggS", *parts[2:4], bytes(spoilt), *parts[5:]]), [30, 77])
    assert found["packets"] == good[:9] + good[10:] and found["damaged"] > 15


def test_packets_longer_than_a_segment_and_than_a_page(workshop):
    long = bytes([252]) + bytes(range(250)) * 3
    stream = ogg_page(long[:510], [255, 255], 0, 2) + ogg_page(long[510:], [len(long) - 510], 1, 3)
    assert read(workshop, stream, [100])["packets"] == [list(long)]
    # the begin is missing: the rest of it is no packet
    assert read(workshop, ogg_page(long[510:], [len(long) - 510], 1, 3), [])["packets"] == []
    for size in (255, 510, 751):
        packet = bytes([252]) * size
        lacing = [255] * (size // 255) + [size % 255]
        found = read(workshop, ogg_page(packet, lacing, 0, 2), [])
        assert found["packets"] == [list(packet)]
        assert read(workshop, bytes(found["written"]), [])["packets"] == [list(packet)]


def test_sound_crosses_both_codecs_in_both_directions(workshop):
    both = """async (pcm) => {
      const { Mouth, Ears } = await import("/assets/opus.js");
      const [bytes, heard] = [[], []];
      const fail = (error) => { throw error };
      const [mouth, ears] = [new Mouth((pages) => { bytes.push(...pages); ears.push(pages) }, fail),
                             new Ears((part) => heard.push(...part), fail)];
      for (let at = 0; at < pcm.length; at += 960) mouth.push(Float32Array.from(pcm.slice(at, at + 960)));
      while (heard.length < pcm.length) await new Promise((done) => setTimeout(done, 20));
      return { bytes, heard, received: ears.received };
    }"""
    said = tone(1.2)
    result = workshop.evaluate(both, said.tolist())
    official = sphn.OpusStreamReader(RATE).append_bytes(bytes(result["bytes"]))
    for heard in (np.array(result["heard"], np.float32), official):
        alike, lag = similarity(said, heard)
        assert alike > 0.95 and 0 <= lag < 0.02 * RATE
    assert result["received"] == len(result["heard"]) == len(official)


def test_resampling_keeps_the_sound_whatever_the_portions(workshop):
    resample = """async ({pcm, from, to, sizes}) => {
      const { Resampler } = await import("/assets/duplex.js");
      return sizes.map((size) => {
        const [resampler, out] = [new Resampler(from, to), []];
        for (let at = 0; at < pcm.length; at += size) {
          out.push(...resampler.push(Float32Array.from(pcm.slice(at, at + size))));
        }
        return out;
      });
    }"""
    for start, end in ((44_100, 24_000), (48_000, 24_000), (24_000, 44_100), (24_000, 24_000)):
        said = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(start // 10) / start)
        task = {"pcm": said.tolist(), "from": start, "to": end, "sizes": [128, 77, len(said)]}
        whole, *others = (np.array(out) for out in workshop.evaluate(resample, task))
        assert abs(len(whole) - end / 10) <= 40 and all(np.array_equal(whole, other) for other in others)
        middle = whole[200:-200]
        waves = np.exp(2j * np.pi * 1000 * np.arange(len(middle)) / end)
        part = 2 * (middle * waves.conj()).mean()
        assert np.abs(middle - (part * waves).real).max() < 2e-3 and abs(abs(part) - 0.5) < 2e-3
    high = 0.5 * np.sin(2 * np.pi * 16_000 * np.arange(4_800) / 48_000)  # must not fold down to 8 kHz
    task = {"pcm": high.tolist(), "from": 48_000, "to": 24_000, "sizes": [128]}
    assert np.abs(workshop.evaluate(resample, task)[0][100:-100]).max() < 1e-3


def test_sound_in_waiting_starts_late_stops_softly_and_never_piles_up(workshop):
    act = """async (steps) => {
      const { JitterBuffer } = await import("/assets/duplex.js");
      const buffer = new JitterBuffer();
      const out = [];
      for (const step of steps) {
        if (step > 0) buffer.push(new Float32Array(step).fill(1)); else out.push(...buffer.pull(-step));
      }
      const { waiting, consumed, dropped, gaps } = buffer;
      return { out, waiting, consumed, dropped, gaps };
    }"""
    frame_by_frame = workshop.evaluate(act, [1920] + [-120] * 16 + [1920] + [-120] * 16)
    sound = np.array(frame_by_frame["out"])
    assert not sound[:840].any() and sound[840:].all() and frame_by_frame["gaps"] == 0  # 40 ms of margin
    # nothing comes any more: it fades out, and the next sound waits for a wider margin
    dry = workshop.evaluate(act, [1920] + [-120] * 26 + [1920] + [-120] * 30)
    sound = np.array(dry["out"])
    assert dry["gaps"] == 2 and dry["consumed"] == 3840 and not sound[2760:4440].any() and sound[4800:6240].all()
    # two seconds at once: the delay stays bounded, and what was dropped is counted
    flood = workshop.evaluate(act, [1920] * 25)
    assert flood["waiting"] <= 1920 + 960 + 3840 and flood["dropped"] + flood["waiting"] == 25 * 1920
    assert flood["consumed"] == flood["dropped"] > 0


def test_answers_are_timed_from_the_users_end_to_moshis_begin(workshop):
    clock = """async ([moshi, user]) => {
      const { TurnClock } = await import("/assets/recording.js");
      const clock = new TurnClock();
      moshi.forEach((level, i) => clock.push(level, user[i]));
      return clock.answers;
    }"""
    user, moshi = np.zeros((2, 200))
    user[20:40], moshi[46:70] = 0.1, 0.1  # after six chunks of 40 ms
    user[60:80], moshi[85:90] = 0.1, 0.1  # the user interrupts; Moshi stops at 70 and answers after 15 chunks
    user[100:102], moshi[110:115] = 0.1, 0.1  # a click is no turn
    user[130:150], moshi[135:155] = 0.1, 0.1  # both at once
    assert workshop.evaluate(clock, [moshi.tolist(), user.tolist()]) == pytest.approx([0.24, 0.2])
