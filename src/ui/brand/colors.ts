import { type Color, contrast, LEAST_TEXT_CONTRAST, lightenFor, textOn } from './contrast.ts'

/** Backgrounds of the accent colour: page and card in `interactions/style.css`. */
export const BACKGROUNDS = {
  light: ['#f4f5f8', '#ffffff'],
  dark: ['#0e1117', '#171b24'],
} as const satisfies Record<string, readonly Color[]>

export type Scheme = keyof typeof BACKGROUNDS

/** An operator's accent colour in both schemes. */
export type Accents = Readonly<Record<Scheme, Color>>

/** Why a colour has too little contrast for a scheme (WCAG 2.2 §1.4.3); undefined when it has enough. */
export function accentFault(color: Color, scheme: Scheme): string | undefined {
  const worst = BACKGROUNDS[scheme]
    .map((background) => ({ background, ratio: contrast(color, background) }))
    .reduce((one, other) => (other.ratio < one.ratio ? other : one))
  if (worst.ratio >= LEAST_TEXT_CONTRAST) return undefined
  // Rounded down, so that a ratio slightly below the limit is not shown as the limit.
  const ratio = Math.floor(worst.ratio * 100) / 100
  return `${color} has a contrast of ${ratio}:1 to the ${scheme} page (${worst.background}); text needs ${LEAST_TEXT_CONTRAST}:1`
}

/** @param dark the accent of dark mode; without it, the light one is lightened. */
export function toAccents(light: Color, dark: Color | undefined): Accents {
  return { light, dark: dark ?? lightenFor(light, BACKGROUNDS.dark) }
}

/** CSS rules that replace the accent of pages. */
export function accentStyle(accents: Accents): string {
  return rulesOf(accents, (accent, onAccent) => `:root { --accent: ${accent}; --on-accent: ${onAccent} }`)
}

/** CSS rules that replace the accent of mails: mail programs do not support custom properties. */
export function mailAccentStyle(accents: Accents): string {
  return rulesOf(accents, (accent, onAccent) => `.button { background: ${accent}; color: ${onAccent} }`)
}

function rulesOf({ light, dark }: Accents, rule: (accent: Color, onAccent: Color) => string): string {
  const [inLight, inDark] = [light, dark].map((accent) => rule(accent, textOn(accent)))
  return `\n${inLight}\n@media (prefers-color-scheme: dark) { ${inDark} }\n`
}
