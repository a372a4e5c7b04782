import { availableParallelism, cpus, platform, release, totalmem } from 'node:os'

export type Machine = ReturnType<typeof describeMachine>

/** The hardware and software that the figures depend on. */
export function describeMachine({ version, durability }: { version: string; durability: string }) {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGigabytes: Math.round(totalmem() / 1024 ** 3),
    system: `${platform()} ${release()}`,
    node: process.version,
    postgres: version,
    durability,
    date: new Date().toISOString(),
  }
}

export function formatMachine(machine: Machine): string {
  const { cores, cpu, memoryGigabytes, system, node, postgres, durability, date } = machine
  return [
    `${cores} cores (${cpu}), ${memoryGigabytes} GB, ${system}, Node ${node}, ${date}`,
    `Postgres ${postgres}, its defaults: ${durability}`,
  ].join('\n')
}
