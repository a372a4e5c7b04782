import { Counter, Gauge, Registry } from 'prom-client'

export type Metrics = ReturnType<typeof createMetrics>

/** The metrics of `/metrics` on the private listener, in the Prometheus format. No label has personal data. */
export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  return {
    cleanupBacklogRows: new Gauge({
      name: 'sallyport_cleanup_backlog_rows',
      help: 'Expired rows that are not deleted yet (counted up to 100000)',
      labelNames: ['table'],
      registers,
    }),
    cleanupDeletedRows: new Counter({
      name: 'sallyport_cleanup_deleted_rows_total',
      help: 'Expired rows that this instance deleted',
      labelNames: ['table'],
      registers,
    }),
    backchannelLogoutsPending: new Gauge({
      name: 'sallyport_backchannel_logouts_pending',
      help: 'Back-channel logouts that clients have not confirmed yet (counted up to 100000)',
      registers,
    }),
    backchannelLogouts: new Counter({
      name: 'sallyport_backchannel_logouts_total',
      help: 'Attempts of this instance to send a back-channel logout, by outcome: delivered, failed, given_up',
      labelNames: ['outcome'],
      registers,
    }),
    throttled: new Counter({
      name: 'sallyport_throttled_total',
      help: 'Requests that this instance rejected, by rate limit',
      labelNames: ['limit'],
      registers,
    }),
    clockDistance: new Gauge({
      name: 'sallyport_clock_distance_seconds',
      help: 'Seconds that the clock of this instance is ahead of the database’s clock; negative when behind',
      registers,
    }),
    sharedLimitsReached: new Counter({
      name: 'sallyport_shared_limits_reached_total',
      help: 'Number of times that this instance saw a global rate limit reached, by limit',
      labelNames: ['limit'],
      registers,
    }),
    requestsRefused: new Counter({
      name: 'sallyport_requests_refused_total',
      help: 'Requests that a listener rejected before it read them, by reason: pipelined (too many unanswered on a connection), in_flight (too many on all connections)',
      labelNames: ['reason'],
      registers,
    }),
    mailsPending: new Gauge({
      name: 'sallyport_mails_pending',
      help: 'Mails that have not been sent yet (counted up to 100000)',
      registers,
    }),
    mails: new Counter({
      name: 'sallyport_mails_total',
      help: 'Attempts of this instance to send a mail, by outcome: sent, failed, refused, given_up',
      labelNames: ['outcome'],
      registers,
    }),
    contentType: registry.contentType,
    render: (): Promise<string> => registry.metrics(),
  }
}
