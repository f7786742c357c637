/** Envelopes to post. This file imports nothing, so that a program for another machine can be bundled with it. */

const common = {
  contract_version: '1.0',
  association_slug: 'heron-ridge',
  association_channel_id: '118',
  participant_id: 'SASE1-22c-at-5sb-8hm-54v',
  submitted_at: '2026-06-15T14:32:00+00:00',
  standing: 'participant',
}

export function vs01(changes: object = {}): Record<string, unknown> {
  return { addon: 'vs01', ...common, fields: { ho_claimed_type: 'condominium' }, ...changes }
}

export function scn01(changes: object = {}): Record<string, unknown> {
  const own = { pinned_scenario_ids: ['DSC-01-S03'], narrative: 'x', vs_snapshot: {}, dsc_snapshot: {} }
  return { addon: 'scn01', ...common, ...own, ...changes }
}
