/**
 * Preloaded into a program (`--import`) to shift its wall clock ahead: `?seconds=86400`. The monotonic clock is
 * unchanged, as on a machine whose clock is set wrong.
 */
const RealDate = Date
const ahead = Number(new URL(import.meta.url).searchParams.get('seconds')) * 1000
const now = () => RealDate.now() + ahead

globalThis.Date = new Proxy(RealDate, {
  construct: (target, values) => Reflect.construct(target, values.length > 0 ? values : [now()]),
  get: (target, name) => (name === 'now' ? now : Reflect.get(target, name)),
})
