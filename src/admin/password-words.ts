import type { PasswordFault } from '../ui/view-models.ts'

/** Why a password was refused, for an operator. */
export function describePasswordFault(fault: PasswordFault): string {
  switch (fault.code) {
    case 'too-short':
      return `A password has at least ${fault.least} characters; this one has ${fault.length}.`
    case 'too-long':
      return `A password has at most ${fault.most} characters; this one has ${fault.length}.`
    case 'unprintable':
      return 'A password is one line of text without control characters.'
    case 'common':
      return 'This password is made of ones that many people use, so it is easy to guess. Take several words that have nothing to do with each other.'
    case 'context':
      return 'This password is little more than a name, an address or this place’s own name, so it is easy to guess.'
    case 'repeated':
      return 'This password repeats the same few characters, so it is easy to guess.'
    case 'sequence':
      return 'This password follows the alphabet, the numbers or the keyboard, so it is easy to guess.'
    case 'date':
      return 'This password is little more than a date, so it is easy to guess.'
  }
}
