import { Counter, Gauge, Registry } from 'prom-client'

export type Metrics = ReturnType<typeof createMetrics>

/** The metrics of `/metrics` on the private listener, in the Prometheus format. No label has personal data. */
export function createMetrics() {
  const registry = new Registry()
  const registers = [registry]
  const gauge = (name: string, help: string, ...labelNames: string[]) =>
    new Gauge({ name, help, labelNames, registers })
  const counter = (name: string, help: string, ...labelNames: string[]) =>
    new Counter({ name, help, labelNames, registers })
  return {
    cleanupBacklogRows: gauge(
      'sallyport_cleanup_backlog_rows',
      'Expired rows that are not deleted yet (counted up to 100000)',
      'table',
    ),
    cleanupDeletedRows: counter(
      'sallyport_cleanup_deleted_rows_total',
      'Expired rows that this instance deleted',
      'table',
    ),
    backchannelLogoutsPending: gauge(
      'sallyport_backchannel_logouts_pending',
      'Back-channel logouts that clients have not confirmed yet (counted up to 100000)',
    ),
    backchannelLogouts: counter(
      'sallyport_backchannel_logouts_total',
      'Attempts of this instance to send a back-channel logout, by outcome: delivered, failed, given_up',
      'outcome',
    ),
    throttled: counter(
      'sallyport_throttled_total',
      'Requests that this instance rejected, by rate limit',
      'limit',
    ),
    clockDistance: gauge(
      'sallyport_clock_distance_seconds',
      'Seconds that the clock of this instance is ahead of the database’s clock; negative when behind',
    ),
    sharedLimitsReached: counter(
      'sallyport_shared_limits_reached_total',
      'Number of times that this instance saw a global rate limit reached, by limit',
      'limit',
    ),
    requestsRefused: counter(
      'sallyport_requests_refused_total',
      'Requests that a listener rejected before it read them, by reason: pipelined (too many unanswered on a connection), in_flight (too many on all connections)',
      'reason',
    ),
    mailsPending: gauge(
      'sallyport_mails_pending',
      'Mails that have not been sent yet (counted up to 100000)',
    ),
    mails: counter(
      'sallyport_mails_total',
      'Attempts of this instance to send a mail, by outcome: sent, failed, refused, given_up',
      'outcome',
    ),

    contentType: registry.contentType,
    render: (): Promise<string> => registry.metrics(),
  }
}
