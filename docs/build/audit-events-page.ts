import { ANOMALIES, EVENT_TYPES, type EventType } from '../../src/audit/event-type.ts'
import { GENERATED, table } from './table.ts'

const ANOMALY = 'anomaly: '

const INTRODUCTION = `Every type of event that the audit log holds. [Reading the audit log](operations/audit-log.md) says how to list
and follow them. Types come from [\`src/audit/event-type.ts\`](../src/audit/event-type.ts).

An **anomaly** is an event that honest use does not cause. \`sallyport events follow --anomalies\` shows anomalies alone.`

/** Generates the reference of all event types. */
export function auditEventsPage(): string {
  const types = Object.keys(EVENT_TYPES) as EventType[]
  const nouns = [...new Set(types.map(nounOf))]
  return [
    GENERATED,
    '# Audit events',
    INTRODUCTION,
    ...nouns.flatMap((noun) => [
      `## ${noun}`,
      table(['Type', 'Anomaly', 'Meaning'], types.filter((type) => nounOf(type) === noun).map(rowOf)),
    ]),
    '',
  ].join('\n\n')
}

function nounOf(type: EventType): string {
  return type.split('.')[0] ?? type
}

function rowOf(type: EventType): string[] {
  const meaning = EVENT_TYPES[type]
  return [`\`${type}\``, ANOMALIES.includes(type) ? 'yes' : '', meaning.replace(ANOMALY, '')]
}
