import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { GENERATED_PAGES } from './generated-pages.ts'
import { ROOT } from './markdown.ts'

for (const [path, draw] of Object.entries(GENERATED_PAGES)) writeFileSync(join(ROOT, path), draw())
