/** Returns the simple commands of a shell text, each as its words: pipes, lists and redirections separate them. */
export function commandsIn(text: string): string[][] {
  return text
    .replace(/\\\n/g, ' ')
    .split('\n')
    .flatMap((line) => splitAtOperators(wordsOf(line)))
    .filter((words) => words.length > 0)
}

type Word = { text: string; isQuoted: boolean }

const OPERATOR = /^([|;&<>()]+|\d?>>?|[<>])$/

function splitAtOperators(words: readonly Word[]): string[][] {
  const commands: string[][] = [[]]
  for (const { text, isQuoted } of words) {
    if (!isQuoted && OPERATOR.test(text)) commands.push([])
    else commands.at(-1)?.push(text)
  }
  return commands
}

/** Splits at blanks, keeps quoted text together and drops comments. Expansions stay as they are written. */
function wordsOf(line: string): Word[] {
  const words: Word[] = []
  const token = /\s*(?:(#.*)|((?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\|;&<>()#]|(?<=\S)#)+)|([|;&<>()]+))/gy
  for (const [, , word, operator] of line.matchAll(token)) {
    if (word !== undefined) words.push({ text: unquote(word), isQuoted: /['"]/.test(word) })
    if (operator !== undefined) words.push({ text: operator, isQuoted: false })
  }
  return words
}

function unquote(word: string): string {
  return word.replace(
    /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/g,
    (_all, single, double, escaped) => single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped,
  )
}
