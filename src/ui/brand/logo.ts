const MAX_BYTES = 32 * 1024
const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
const MAX_SIDE = 10_000

/** An image with its natural size, so that pages reserve its space while it loads. */
export type Logo = Readonly<{ type: 'svg' | 'png'; content: Buffer; width: number; height: number }>

/**
 * Checks the operator's logo and reads its size.
 *
 * @returns a fault to show to the operator when it is not a usable logo.
 */
export function parseLogo(content: Buffer): Logo | { fault: string } {
  if (content.length > MAX_BYTES)
    return { fault: `has ${content.length} bytes: a logo may have ${MAX_BYTES}, because every page loads it` }
  const isPng = content.subarray(0, PNG_SIGNATURE.length).equals(PNG_SIGNATURE)
  const size = isPng ? sizeOfPng(content) : sizeOfSvg(content.toString('utf8'))
  if (!size) return { fault: 'must be a PNG, or an SVG with a viewBox or a width and height' }
  if (size.some((side) => !(side > 0 && side <= MAX_SIDE))) return { fault: 'must have a size' }
  const [width, height] = size
  return { type: isPng ? 'png' : 'svg', content, width, height }
}

/** PNG (Third Edition) §11.2.1: the first chunk is the header, which begins with the size. */
function sizeOfPng(content: Buffer): [number, number] | undefined {
  return content.length >= 24 ? [content.readUInt32BE(16), content.readUInt32BE(20)] : undefined
}

function sizeOfSvg(text: string): [number, number] | undefined {
  const [root] = /<svg\b[^>]*>/.exec(text) ?? []
  if (root === undefined) return undefined
  const [, , viewWidth, viewHeight] =
    attribute(root, 'viewBox')
      ?.trim()
      .split(/[\s,]+/) ?? []
  const width = viewWidth ?? attribute(root, 'width')
  const height = viewHeight ?? attribute(root, 'height')
  return width === undefined || height === undefined
    ? undefined
    : [Number.parseFloat(width), Number.parseFloat(height)]
}

function attribute(element: string, name: string): string | undefined {
  return new RegExp(`\\s${name}\\s*=\\s*["']([^"']*)["']`).exec(element)?.[1]
}
