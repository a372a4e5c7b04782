/** A colour as `#rrggbb`. */
export type Color = `#${string}`

export const LEAST_TEXT_CONTRAST = 4.5

/** The contrast ratio of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio"). */
export function contrast(one: Color, other: Color): number {
  const [darker = 0, lighter = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b)
  return (lighter + 0.05) / (darker + 0.05)
}

/** White or black, whichever is readable on this colour; one always is. */
export function textOn(color: Color): Color {
  return contrast('#ffffff', color) >= LEAST_TEXT_CONTRAST ? '#ffffff' : '#000000'
}

/** Mixes a colour with white until it is readable on all backgrounds. */
export function lightenFor(color: Color, backgrounds: readonly Color[]): Color {
  for (let percent = 0; percent < 100; percent += 5) {
    const lighter = mixWithWhite(color, percent / 100)
    if (backgrounds.every((background) => contrast(lighter, background) >= LEAST_TEXT_CONTRAST))
      return lighter
  }
  return '#ffffff'
}

/** WCAG 2.2, "relative luminance". */
function luminance(color: Color): number {
  const [red = 0, green = 0, blue = 0] = channels(color).map((channel) => {
    const share = channel / 255
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

function mixWithWhite(color: Color, share: number): Color {
  const mixed = channels(color).map((channel) => Math.round(channel + (255 - channel) * share))
  return `#${mixed.map((channel) => channel.toString(16).padStart(2, '0')).join('')}`
}

function channels(color: Color): number[] {
  return [1, 3, 5].map((start) => Number.parseInt(color.slice(start, start + 2), 16))
}
