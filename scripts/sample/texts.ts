/** The texts that the people of the sample write. Every name, number and address is made up. */

export type Topic = {
  readonly code: string
  readonly scenarios: readonly string[]
  readonly title: string
  /** The beginnings of a narrative. Two of `then`, in order, and one of `end` follow. */
  readonly begin: readonly string[]
  readonly middle: readonly string[]
  readonly end: readonly string[]
}

export const topics: readonly Topic[] = [
  {
    code: 'DSC-01',
    scenarios: ['DSC-01-S02', 'DSC-01-S03'],
    title: 'The portal lost the payment method',
    begin: [
      'The automatic payment that I signed in {year} was cancelled on the association’s side in {month}. Nobody told me.',
      'My {month} assessment was returned to me although the account had money in it.',
    ],
    middle: [
      'The portal simply showed “no payment method”.',
      'I called the management company on the {day}th and was told to wait for a letter.',
      'I have the bank’s confirmation that the payment of {amount} left my account.',
      'The ledger they sent lists a late fee of {fee} for the same month.',
    ],
    end: [
      'Two months later a law firm wrote that I was delinquent by {sum}, of which {legal} was its own fee for writing the letter.',
      'I have paid under protest and ask for the ledger to be corrected.',
    ],
  },
  {
    code: 'DSC-02',
    scenarios: ['DSC-02-S01', 'DSC-02-S04'],
    title: 'A meeting without notice',
    begin: [
      'On the evening of {month} {day} the Board met without posting the 48-hour notice that our bylaws require.',
      'I learned from a neighbor that the Board had met on {month} {day}. There was no notice in the lobby and none by mail.',
    ],
    middle: [
      'The minutes that were circulated three weeks later do not record who moved, who seconded or how anyone voted.',
      'I asked for the recording and was told that none was made.',
      'The agenda item is called “miscellaneous”.',
    ],
    end: [
      'At that meeting a contract of {sum} was approved.',
      'I have asked in writing that the vote be taken again in an open meeting.',
    ],
  },
  {
    code: 'DSC-03',
    scenarios: ['DSC-03-S01', 'DSC-03-S02'],
    title: 'The roof and the reserve',
    begin: [
      'The roof above my unit has leaked since {month}.',
      'Water came through the ceiling of the back bedroom again on {month} {day}.',
    ],
    middle: [
      'The first work order is from {year}; I have five of them.',
      'The reserve study of {year} gives the roof no remaining life, and the budget has nothing for it.',
      'A contractor put a tarpaulin over it and billed {amount}.',
      'My own repairs inside have cost {fee} so far.',
    ],
    end: [
      'The Board says that it is waiting for a second bid. It has said so for a year.',
      'I ask that this stand on record before the next rain.',
    ],
  },
  {
    code: 'DSC-04',
    scenarios: ['DSC-04-S03'],
    title: 'Records that cannot be seen',
    begin: [
      'On {month} {day} I asked by certified mail to inspect the contracts of the last three years.',
      'My request for the bank statements of the reserve account is from {month} {day}.',
    ],
    middle: [
      'The statute gives the association ten business days.',
      'The manager answered that the records are “with the attorney”.',
      'I was offered copies at {fee} a page, payable in advance.',
    ],
    end: ['I have received nothing.', 'What I was shown in the end had {day} pages missing.'],
  },
  {
    code: 'DSC-06',
    scenarios: ['DSC-06-S01', 'DSC-06-S02'],
    title: 'Fees on fees',
    begin: [
      'A fine of {fee} for a bicycle on the balcony was turned over to a law firm before the hearing that the rules promise.',
      'The payoff letter of {month} lists {sum}; the assessments in it come to {amount}.',
    ],
    middle: [
      'The rest is interest, “administration” and attorney’s fees.',
      'Nobody could tell me who had approved the rate.',
      'I paid the assessments on time in every month of {year}.',
    ],
    end: [
      'A lien was recorded for the difference.',
      'I ask for an itemised statement, which the declaration says I am owed.',
    ],
  },
  {
    code: 'DSC-07',
    scenarios: ['DSC-07-S01'],
    title: 'A special assessment',
    begin: [
      'A special assessment of {amount} per unit, payable in three instalments, was announced in {month}.',
      'The façade is to cost {sum}. The letter of {month} {day} is one page.',
    ],
    middle: [
      'No bids were attached, and the owners did not vote.',
      'The declaration asks for two thirds of the owners above a certain sum; we are above it.',
      'My neighbor on the second floor has been told another number.',
    ],
    end: [
      'I have paid the first instalment and put this on record.',
      'I asked which contractor it is for. I have no answer.',
    ],
  },
  {
    code: 'DSC-09',
    scenarios: ['DSC-09-S02'],
    title: 'An election without a quorum',
    begin: [
      'The annual election of {month} was held with {day} owners in the room.',
      'Two Board seats were filled in {month} by appointment. There has been no election since {year}.',
    ],
    middle: [
      'A quorum is forty percent.',
      'The proxies were counted by the manager, whose contract was on the ballot.',
      'My own proxy, which I had revoked, was counted.',
    ],
    end: ['I ask that the ballots be kept.', 'The result was declared “by acclamation”.'],
  },
  {
    code: 'DSC-10',
    scenarios: ['DSC-10-S02'],
    title: 'What statute governs us',
    begin: [
      'The declaration calls us a condominium; the Secretary of State’s page lists a corporation that was dissolved in {year}.',
      'The management contract of {year} names a client that I cannot find in any register.',
    ],
    middle: [
      'Which one is right decides which statute governs the lien.',
      'I asked the Board on {month} {day} for the filing. It said that the attorney has it.',
      'My closing documents name a third form.',
    ],
    end: ['I put on record what I was told when I bought.', 'I hold copies of all three papers.'],
  },
]

export const months = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
] as const
