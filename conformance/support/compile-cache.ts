import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** For processes that are started again and again: Node keeps what it compiled, which is half of the work of a start. */
export const COMPILE_CACHE = { NODE_COMPILE_CACHE: join(tmpdir(), 'sallyport-compile-cache') }
