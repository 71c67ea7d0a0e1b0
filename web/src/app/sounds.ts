// Short sounds, synthesised: nothing to load.

const NOTES = [660, 880] as const;
const NOTE_SECONDS = 0.14;
const LOUDNESS = 0.12;

let context: AudioContext | undefined;

/** Two quiet notes that rise: somebody asks to come in. Silent where the browser forbids sound before a click. */
export function playKnock(): void {
  try {
    context ??= new AudioContext();
    void context.resume().catch(() => undefined);
    const start = context.currentTime;
    NOTES.forEach((frequency, index) => {
      if (context !== undefined) playNote(context, frequency, start + index * NOTE_SECONDS);
    });
  } catch {
    // No sound device: the notice is there in any case.
  }
}

function playNote(audio: AudioContext, frequency: number, at: number): void {
  const tone = audio.createOscillator();
  const volume = audio.createGain();
  tone.frequency.value = frequency;
  volume.gain.setValueAtTime(0, at);
  volume.gain.linearRampToValueAtTime(LOUDNESS, at + 0.02);
  volume.gain.exponentialRampToValueAtTime(0.001, at + NOTE_SECONDS * 2);
  tone.connect(volume).connect(audio.destination);
  tone.start(at);
  tone.stop(at + NOTE_SECONDS * 2);
}
