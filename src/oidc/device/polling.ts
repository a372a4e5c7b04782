/** RFC 8628 §3.2: devices wait this long between polls … */
export const DEVICE_POLL_INTERVAL_SECONDS = 5
/** … and this much longer after each poll that came too soon (§3.5). */
export const DEVICE_POLL_STEP_SECONDS = 5
