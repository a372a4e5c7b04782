/**
 * Well-known phrases that attackers try first: examples from articles about passphrases, declarations, quotations,
 * proverbs, songs, films and games.
 *
 * @see NIST SP 800-63B-4 §3.1.1.2
 */
const PHRASES = `
correct horse battery staple, incorrect horse battery staple, tr0ub4dor and 3,
troubador, correct pony battery staple, correct donkey battery staple, this is my password, this is my passphrase,
my password is password, my password is secret, the password is password, this is a password, this is a passphrase,
this is a secure password, this is a strong password, this is a long password, my secret password, my super secret password,
super secret password, super secure password, top secret password, very secret password, very long password,
a very long password, the best password ever, best password ever, never forget this password, i forgot my password,
i forgot my password again, forgot my password, i hate passwords, i hate my password, i hate changing passwords,
please let me in, let me in please, let me in now, just let me in, open the door please, open sesame, open sesame please,
enter password here, insert password here, type password here, new password, change me please, please change me,
change this password, change me now please, default password, temporary password, administrator password, admin password,
root password, welcome to the jungle, welcome to my world, welcome home, welcome back, password one two three,
one two three four, one two three four five, one two three four five six, abc def ghi jkl, alpha bravo charlie delta,
alpha beta gamma delta, monday tuesday wednesday, january february march, spring summer autumn winter,
red orange yellow green blue, do re mi fa so la ti do, hello world, hello world hello world, hello my name is,
hello my friend, hello my darling, hello darkness my old friend, good morning, good morning sunshine, good night moon,
good morning vietnam, have a nice day, have a good day, have a great day, what a wonderful world, what a wonderful day,
thank you very much, thank you so much, no pain no gain, who am i, what is my name, my name is, my favorite password,
qwerty keyboard, keyboard warrior, i am the admin, i am the boss, i am the best, i am the king, i am the one,
i am the walrus, i am legend, i am batman, i am iron man, i am groot, i am your father, i am the night, i am who i am,
i think therefore i am, i am what i am, i am so happy, i am beautiful, i am awesome, i am number one, i am not a robot,
i love you, i love you so much, i love you forever, i love you always, i love you too, i love you more, i love you baby,
i love you my love, i love you mom, i love you dad, i love you jesus, i love my family, i love my wife, i love my husband,
i love my life, i love my dog, i love my cat, i love my mom, i love my kids, i love my children, i love my daughter,
i love my son, i love music, i love football, i love pizza, i love chocolate, i love coffee, i love cheese, i love cats,
i love dogs, i love summer, i love new york, i love god, i will always love you, i will love you forever, i hate you,
i hate you so much, i hate this job, i hate my job, i hate mondays, i miss you so much, i need you, i want you back,
i want to be free, i want to break free, i want it that way, i want to hold your hand, you and me forever, you and i,
you are my sunshine, you are so beautiful, you are the one, you are my everything, you are my love, you complete me,
love is all you need, all you need is love, love is in the air, love me tender, love you forever, love you to the moon,
love you to the moon and back, to the moon and back, my one true love, true love forever, forever and always,
forever and ever, together forever, best friends forever, friends forever, live laugh love, live love laugh,
love peace and happiness, peace and love, peace on earth, make love not war, faith hope love, happily ever after,
jesus is lord, jesus loves me, jesus loves you, jesus christ is lord, jesus is my savior, jesus saves, jesus is love,
god is good, god is great, god is love, god is with us, god is my strength, god loves me, god bless you, god bless america,
god save the queen, god save the king, god with us, in god we trust, thank you god, thank you jesus, thank you lord,
praise the lord, the lord is my shepherd, the lord is my light, our father who art in heaven, our father in heaven,
hail mary full of grace, amazing grace, in the beginning, in the beginning was the word, let there be light,
for god so loved the world, god so loved the world, holy spirit, ave maria, allahu akbar, bismillah, om namah shivaya,
hare krishna hare rama, john three sixteen, the truth will set you free, love thy neighbor, thou shalt not kill,
to be or not to be, to be or not to be that is the question, that is the question, the quick brown fox,
the quick brown fox jumps over the lazy dog, the quick brown fox jumped over the lazy dog, quick brown fox, the lazy dog,
quick brown fox jumps, jumps over the lazy dog, pack my box with five dozen liquor jugs, how vexingly quick daft zebras jump,
sphinx of black quartz judge my vow, five boxing wizards jump quickly, the five boxing wizards jump quickly,
lorem ipsum dolor sit amet, lorem ipsum dolor, lorem ipsum, carpe diem, carpe diem carpe noctem, veni vidi vici,
cogito ergo sum, memento mori, semper fidelis, e pluribus unum, alea iacta est, et tu brute, in vino veritas,
we the people, we the people of the united states, four score and seven years ago, i have a dream, yes we can,
ask not what your country can do for you, give me liberty or give me death, life liberty and the pursuit of happiness,
we hold these truths to be self evident, the land of the free, land of the free home of the brave, the star spangled banner,
oh say can you see, united we stand, united states of america, make america great again, keep america great, born in the usa,
remember the alamo, dont tread on me, the american dream, liberty and justice for all, nothing to fear but fear itself,
one small step for man, one giant leap for mankind, houston we have a problem, the eagle has landed, to infinity and beyond,
keep calm and carry on, rule britannia, never never never give up, never give up, never surrender, we shall overcome,
we shall never surrender, live free or die, death before dishonor, liberty equality fraternity, liberte egalite fraternite,
workers of the world unite, power to the people, knowledge is power, with great power comes great responsibility,
once upon a time, once upon a time in a land far away, it was a dark and stormy night, it was the best of times,
it was the best of times it was the worst of times, call me ishmael, all the worlds a stage, romeo and juliet,
romeo romeo wherefore art thou romeo, alice in wonderland, through the looking glass, down the rabbit hole,
follow the white rabbit, lord of the rings, the lord of the rings, one ring to rule them all, my precious, not all those who wander are lost,
not all who wander are lost, speak friend and enter, you shall not pass, fly you fools, second breakfast, harry potter,
harry potter and the, expecto patronum, wingardium leviosa, avada kedavra, i solemnly swear that i am up to no good,
mischief managed, the boy who lived, winter is coming, valar morghulis, valar dohaeris, you know nothing jon snow,
game of thrones, the north remembers, fire and blood, a lannister always pays his debts, hitchhikers guide to the galaxy,
the answer is forty two, dont panic, so long and thanks for all the fish, big brother is watching you, war is peace,
fear is the mind killer, the spice must flow, may the odds be ever in your favor, so it goes, nevermore quoth the raven,
may the force be with you, may the fourth be with you, may the force be with us, use the force luke, the force awakens,
luke i am your father, no i am your father, do or do not there is no try, a long time ago in a galaxy far far away,
in a galaxy far far away, these are not the droids you are looking for, help me obi wan kenobi, the empire strikes back,
return of the jedi, star wars, darth vader, millennium falcon, obi wan kenobi, luke skywalker, this is the way,
live long and prosper, beam me up scotty, resistance is futile, make it so, to boldly go, where no man has gone before,
to boldly go where no man has gone before, space the final frontier, star trek, the next generation, captain jean luc picard,
doctor who, trust no one, the truth is out there, i want to believe, theres no place like home, there is no place like home,
over the rainbow, somewhere over the rainbow, follow the yellow brick road, pay no attention to that man behind the curtain,
frankly my dear i dont give a damn, after all tomorrow is another day, heres looking at you kid, play it again sam,
you had me at hello, show me the money, you cant handle the truth, i see dead people, ill be back, hasta la vista baby,
say hello to my little friend, go ahead make my day, do you feel lucky punk, you talking to me, bond james bond, james bond,
shaken not stirred, life is like a box of chocolates, run forrest run, im king of the world, why so serious, why so serious joker,
hakuna matata, the circle of life, let it go let it go, just keep swimming, you are a wizard harry, nobody puts baby in a corner,
my name is inigo montoya, hello my name is inigo montoya, as you wish, inconceivable, you killed my father prepare to die,
there is no spoon, the matrix, the one ring, avengers assemble, wakanda forever, i love you three thousand, with great power,
elementary my dear watson, sherlock holmes, the dark side of the moon, dark side of the moon, i am the danger, say my name,
how you doing, winter wonderland, bazinga, legendary, wait for it, challenge accepted, monty python, spam spam spam spam,
nobody expects the spanish inquisition, its just a flesh wound, what is the airspeed velocity of an unladen swallow,
always look on the bright side of life, the cake is a lie, all your base are belong to us, its dangerous to go alone,
finish him, would you kindly, praise the sun, war never changes, gotta catch em all, super mario, super mario brothers,
super mario world, legend of zelda, the legend of zelda, final fantasy, call of duty, call of duty modern warfare, grand theft auto,
world of warcraft, for the horde, for the alliance, league of legends, league of legend, counter strike, left for dead,
never gonna give you up, never gonna give you up never gonna let you down, never gonna let you down, rick astley,
we will rock you, we are the champions, bohemian rhapsody, is this the real life, stairway to heaven, highway to hell,
back in black, hotel california, sweet home alabama, sweet child of mine, smells like teen spirit, nothing else matters,
enter sandman, master of puppets, fade to black, another brick in the wall, comfortably numb, wish you were here,
we dont need no education, let it be let it be, hey jude dont make it bad, here comes the sun, yellow submarine,
we all live in a yellow submarine, twist and shout, come together right now, imagine all the people, like a rolling stone,
knocking on heavens door, dont stop believing, living on a prayer, eye of the tiger, sweet caroline, dancing queen,
billie jean, thriller night, purple rain, losing my religion, born to be wild, born to run, somebody to love,
dont worry be happy, three little birds, no woman no cry, one love one heart, hit me baby one more time, oops i did it again,
take me home country roads, take me to church, lose yourself, will the real slim shady please stand up, shake it off,
happy birthday, happy birthday to you, happy birthday to me, happy new year, merry christmas, merry christmas and a happy new year,
we wish you a merry christmas, jingle bells jingle bells, silent night holy night, let it snow let it snow let it snow,
twinkle twinkle little star, twinkle twinkle, mary had a little lamb, row row row your boat, humpty dumpty sat on a wall,
humpty dumpty, jack and jill went up the hill, jack and jill, three blind mice, baa baa black sheep, old macdonald had a farm,
the itsy bitsy spider, itsy bitsy spider, hickory dickory dock, hey diddle diddle, rain rain go away, london bridge is falling down,
eeny meeny miny moe, if youre happy and you know it, the wheels on the bus, baby shark, supercalifragilisticexpialidocious,
a penny saved is a penny earned, an apple a day keeps the doctor away, an apple a day, the early bird catches the worm,
the early bird gets the worm, early bird, actions speak louder than words, all that glitters is not gold,
better late than never, better safe than sorry, practice makes perfect, time is money, time flies, curiosity killed the cat,
dont judge a book by its cover, easy come easy go, every cloud has a silver lining, home sweet home, honesty is the best policy,
if at first you dont succeed, its raining cats and dogs, raining cats and dogs, look before you leap, money makes the world go round,
money talks, money is power, no news is good news, out of sight out of mind, rome was not built in a day, slow and steady wins the race,
the grass is always greener, the sky is the limit, sky is the limit, the pen is mightier than the sword, there is no tomorrow,
when in rome, where there is a will there is a way, you only live once, you only live twice, life is good, life is beautiful,
life is short, life goes on, la vita e bella, la vie en rose, cest la vie, que sera sera, viva la vida, viva la revolucion,
viva mexico, vive la france, te amo mucho, te quiero mucho, mi amor por siempre, te amo por siempre, je taime, je taime mon amour,
je taime pour toujours, ich liebe dich, ich liebe dich fur immer, ich liebe dich für immer, sesam offne dich, sesam öffne dich,
das ist mein passwort, mein passwort ist, mein geheimes passwort, dies ist ein passwort, passwort vergessen, alles wird gut,
ein bisschen spass muss sein, alle meine entchen, mi contraseña, esta es mi contraseña, esta es mi contrasena, mon mot de passe,
ceci est un mot de passe, motdepasse, la liberte ou la mort, sapere aude, eins zwei drei vier, uno dos tres cuatro, un deux trois quatre,
life is what you make it, everything happens for a reason, this too shall pass, what goes around comes around, stay hungry stay foolish,
just do it, impossible is nothing, think different, think outside the box, because youre worth it, the best is yet to come,
live your life, follow your dreams, dream big, dreams come true, dream come true, never stop dreaming, believe in yourself,
be yourself, be the change, be strong, stay strong, stay positive, work hard play hard, hard work pays off, the show must go on,
rock and roll, sex drugs and rock and roll, peanut butter, peanut butter and jelly, peanut butter jelly time, bread and butter,
ice cream, ice cream sandwich, chocolate chip cookies, mac and cheese, bacon and eggs, beer me please, cats and dogs,
dogs and cats, black and white, black and yellow, red white and blue, roses are red violets are blue, roses are red, rainbow unicorn,
unicorns and rainbows, rainbows and unicorns, butterfly, sunshine and rainbows, manchester united, real madrid, barcelona, liverpool,
you will never walk alone, youll never walk alone, go team go, new york city, new york yankees, new york giants, los angeles lakers,
boston red sox, dallas cowboys, green bay packers, pittsburgh steelers, san francisco, las vegas, dont fear the reaper,
the end is near, the end of the world, go to hell, what the hell, what the fuck, shut the fuck up, fuck the world,
i love my mom and dad, football is life, music is my life, family is everything, family comes first, my family is my
life, this is the best password, this is the best password ever, i dont know my password, i dont remember my password,
i cant remember my password, i dont know, who cares, god is good all the time, all the small things, what is your
name, my name is john, too blessed to be stressed, life is too short, life is a journey, time heals all wounds, never
say never, never look back, keep it simple stupid, patience is a virtue, two wrongs dont make a right, the customer is
always right, once in a lifetime, when pigs fly, blood is thicker than water, birds of a feather flock together,
beauty is in the eye of the beholder, absence makes the heart grow fonder, all work and no play makes jack a dull boy,
first come first served, good things come to those who wait, great minds think alike, haste makes waste, hope for the
best, hope for the best prepare for the worst, if it aint broke dont fix it, ignorance is bliss, it takes two to
tango, laughter is the best medicine, like father like son, love is blind, misery loves company, necessity is the
mother of invention, no man is an island, old habits die hard, opposites attract, seeing is believing, strike while
the iron is hot, the best things in life are free, the more the merrier, third times the charm, two heads are better
than one, variety is the spice of life, what doesnt kill you makes you stronger, when the going gets tough, you cant
always get what you want, you snooze you lose, one for all and all for one, all for one and one for all, the rain in
spain stays mainly in the plain, the rain in spain, she sells sea shells, she sells sea shells by the sea shore, peter
piper picked a peck of pickled peppers, how much wood would a woodchuck chuck, i scream you scream, i scream you
scream we all scream for ice cream, every good boy does fine, when the saints go marching in, we are family, we are
the world, girls just want to have fun, i will survive, sweet dreams are made of this, total eclipse of the heart,
under pressure, white christmas, yesterday all my troubles seemed so far away, i cant get no satisfaction, who let the
dogs out, who lives in a pineapple under the sea, spongebob squarepants, teenage mutant ninja turtles, scooby dooby
doo, yabba dabba doo, winnie the pooh, mickey mouse club, walt disney world, when you wish upon a star, beauty and the
beast, the little mermaid, snow white and the seven dwarfs, the lion king, finding nemo, pirates of the caribbean,
captain jack sparrow, back to the future, indiana jones, jurassic park, life finds a way, who you gonna call
ghostbusters, who you gonna call, the godfather, an offer he cant refuse, the first rule of fight club, the first rule
of fight club is you do not talk about fight club, pulp fiction, royale with cheese, the big lebowski, the dude
abides, napoleon dynamite, breaking bad, stranger things, red light green light, the walking dead, thats what she
said, no soup for you, the simpsons, rick and morty, wubba lubba dub dub,
`

/** The example of xkcd 936. Its words are listed in every order. */
const EXAMPLE = ['correct', 'horse', 'battery', 'staple']

/** Removes the separators between words. Characters that stand for letters (`4` for `a`) stay. */
export function squeeze(password: string): string {
  return password.normalize('NFKC').replace(/[\s\p{Pd}\p{Pc}\p{Cf}.,;:'’"/\\|+*~·]+/gu, '')
}

/** The letters of a password, and the number of its other characters. */
export function lettersOf(password: string): { letters: string; others: number } {
  const squeezed = squeeze(password)
  const letters = squeezed.replace(/[^\p{L}\p{M}]+/gu, '')
  return { letters, others: squeezed.length - letters.length }
}

/** Common passphrases without spaces, the best known first. */
export const COMMON_PASSPHRASES: readonly string[] = [
  ...new Set([...PHRASES.split(','), ...ordersOf(EXAMPLE)].map((phrase) => squeeze(phrase.toLowerCase()))),
].filter((phrase) => phrase !== '')

function ordersOf(words: readonly string[]): string[] {
  if (words.length < 2) return [...words]
  return words.flatMap((word) =>
    ordersOf(words.filter((other) => other !== word)).map((rest) => `${word} ${rest}`),
  )
}
