/** What kinds of client there are; each starts from its own preset. */
export const CLIENT_TYPES = ['web', 'spa', 'native', 'device', 'service'] as const

export type ClientType = (typeof CLIENT_TYPES)[number]
