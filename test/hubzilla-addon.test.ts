/** The example addon: its page, the operator's page, cron, heads as a post, and the warning before it is disabled. */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Json } from '../contracts/contract.ts'
import { freePort } from './bound.ts'
import { address, client, hubzilla, place, type Site, scn, skip, told, vs } from './hubzilla-site.ts'
import { audit } from './said.ts'

/** Copies the addon as an operator does, into a stand-in of a Hubzilla. Each script has a session of its own. */
function withAddon(t: TestContext) {
  const site = place(t)
  const addon = join(site.dir, 'addon/exampleaddon')
  cpSync(join(client, 'exampleaddon'), addon, { recursive: true })
  for (const name of ['civic_receiver.php', 'civic_receiver'])
    cpSync(join(client, name), join(addon, name), { recursive: true })
  mkdirSync(join(site.dir, 'include'))
  writeFileSync(join(site.dir, 'include/items.php'), '<?php')
  const script = <T = Json>(php: string): Promise<T[]> =>
    site.eval<T>(`
      $_SESSION = ['uid' => 118, 'admin' => true];
      require_once '${addon}/exampleaddon.php';
      require_once '${addon}/Mod_Exampleaddon.php';
      $page = new Zotlabs\\Module\\Exampleaddon();
      $gone = function (callable $do) { try { $do(); return ''; } catch (Gone $gone) { return $gone->getMessage(); } };
      ${php}
    `)
  return { site, script, addon }
}

const ready = async (site: Site): Promise<void> => {
  await site.start()
  site.env = hubzilla(site)
}

const typed = `
  $fields = ['association' => 'heron-ridge', 'placekey' => ' ${address} ', 'scenario' => 'DSC-01-S03', 'narrative' => 'Tom & <Jerry>'];
  $fresh = function (string $html): array {
    preg_match('/"\\$nonce":"([0-9a-f]{96})"/', $html, $nonce);
    return ['nonce' => $nonce[1], 'form_security_token' => 'token of exampleaddon'];
  };
  $send = function (array $sent) use ($page) { $_POST = $_REQUEST = $sent; $page->post(); return $page->get(); };
`

test('the addon is split as upstream addons are, and registers what it needs', { skip }, async (t) => {
  const { site, script, addon } = withAddon(t)
  assert.deepEqual(readdirSync(addon).sort(), [
    'Mod_Exampleaddon.php',
    'civic_receiver',
    'civic_receiver.php',
    'exampleaddon.php',
    'exampleaddon_renderer.php',
    'exampleaddon_spool.php',
    'view',
  ])
  await ready(site)
  const [hooks, routes, after] = await script<unknown[]>(`
    exampleaddon_load();
    $say(array_column(Zotlabs\\Extend\\Hook::all(), 0));
    $say(Zotlabs\\Lib\\Config::Get('stand-in', 'routes'));
    foreach (Zotlabs\\Extend\\Hook::all() as $hook) if (!is_callable($hook[2])) exit(71);
    exampleaddon_unload();
    $say([Zotlabs\\Extend\\Hook::all(), Zotlabs\\Lib\\Config::Get('stand-in', 'routes')]);
  `)
  assert.deepEqual(hooks, ['cron', 'civic_receiver_outcome', 'admin_mod_init'])
  assert.deepEqual(routes, [['addon/exampleaddon/Mod_Exampleaddon.php', 'exampleaddon']])
  assert.deepEqual(after, [[], []])
})

test('the page stores the typed text unchanged, and once however often the form is sent', {
  skip,
}, async (t) => {
  const { site, script } = withAddon(t)
  await ready(site)
  const [form, answer, again, stranger] = await script<string>(`${typed}
    $say($form = $page->get());
    $sent = $fields + $fresh($form);
    $say($send($sent));
    $say($send($sent));
    $say($send(['nonce' => str_repeat('0', 96)] + $sent));
  `)
  assert.match(form!, /^exampleaddon_form\.tpl .*"\$form_security_token":"token of exampleaddon"/)
  assert.match(answer!, /^exampleaddon_answer\.tpl .*are on record/)
  assert.equal(again, answer)
  assert.match(stranger!, /from another session.*Tom & <Jerry>/)
  assert.deepEqual(
    site.records().map(({ narrative, participant_id }) => [narrative, participant_id]),
    [['Tom & <Jerry>', address]],
  )
})

test('a form is accepted although the session was written last by another page that was opened at the same time', {
  skip,
}, async (t) => {
  const { site, script } = withAddon(t)
  await ready(site)
  const [answer, stranger] = await script<string>(`${typed}
    $before = $_SESSION;
    $sent = $fields + $fresh($page->get());
    $_SESSION = $before;
    $answer = $send($sent);
    session_id('another');
    $say($answer);
    $say($send($sent));
  `)
  assert.match(answer!, /^exampleaddon_answer\.tpl .*are on record/)
  assert.match(stranger!, /from another session/)
  assert.equal(site.records().length, 1)
})

test('the page says what happened, and keeps what was typed where it was not kept', { skip }, async (t) => {
  const { site, script } = withAddon(t)
  await ready(site)
  const [refused] = await script<string>(
    `${typed} $say($send(['placekey' => 'none'] + $fields + $fresh($page->get())));`,
  )
  assert.match(refused!, /^exampleaddon_form\.tpl .*keep this page open.*A copy is kept.*Tom & <Jerry>/)
  assert.doesNotMatch(refused!, /has been told/)
  site.at(await freePort())
  site.env = hubzilla(site)
  const [kept] = await script<string>(`${typed} $say($send($fields + $fresh($page->get())));`)
  assert.match(kept!, /^exampleaddon_answer\.tpl .*kept here and will be put on record shortly/)
  site.spool = 'nowhere'
  site.env = hubzilla(site)
  const [nowhere] = await script<string>(`${typed} $say($send($fields + $fresh($page->get())));`)
  assert.match(
    nowhere!,
    /^exampleaddon_form\.tpl .*could not be saved anywhere.*keep this page open.*Tom & <Jerry>/,
  )
  assert.equal(site.records().length, 0)
})

test('the page is for members of this site, and takes only forms that it made', { skip }, async (t) => {
  const { site, script } = withAddon(t)
  await ready(site)
  const [gone, page] = await script<string>(`${typed}
    $sent = $fields + $fresh($page->get());
    $say($gone(fn() => $send(['form_security_token' => 'another'] + $sent)));
    $_SESSION['uid'] = false;
    $say($send($sent));
  `)
  assert.equal(gone, 'https://hub.example/exampleaddon')
  assert.equal(page, '')
  assert.equal(site.records().length, 0)
})

test("the operator's page shows causes and reasons, and posts all now", { skip }, async (t) => {
  const { site, script } = withAddon(t)
  site.at(await freePort())
  site.env = hubzilla(site)
  await site.submit(scn('waits'), { ...vs('x'), standing: 'none' })
  const show = async () =>
    (await script<string>("$page = ''; exampleaddon_plugin_admin($page); $say($page);"))[0]!
  assert.match(await show(), /2 submissions wait .*No answer from the receiver.*Post all now/)
  await site.start()
  site.env = hubzilla(site)
  const post = (fields: string) =>
    script(
      `$_POST = $_REQUEST = ['form_security_token' => 'token of exampleaddon_admin', ${fields}]; exampleaddon_plugin_admin_post();`,
    )
  await post("'post_all' => '1'")
  assert.match(
    await show(),
    /0 submissions wait .*1 were refused.*does not follow its contract.*\/standing must be/,
  )
  assert.equal(site.records().length, 1)
  await post("'heads_channel' => 'nobody'")
  await post("'heads_channel' => 'heads'")
  assert.match(await show(), /"heads_channel","Publish heads","heads"/)
  const [forged] = await script<string>(
    '$_POST = $_REQUEST = []; $say($gone(fn() => exampleaddon_plugin_admin_post()));',
  )
  assert.equal(forged, 'https://hub.example/admin/addons/exampleaddon')
})

const mails = (site: Site) =>
  told(site).filter(([kind]) => kind === 'mail') as [string, { toEmail: string; textVersion: string }][]
const cron = "$now = ''; exampleaddon_cron($now);"

test('one mail a day goes to the administrator while something has waited an hour or was refused', {
  skip,
}, async (t) => {
  const { site, script } = withAddon(t)
  site.at(await freePort())
  const admin = { admin_email: 'admin@hub.example' }
  site.env = hubzilla(site, admin)
  await site.submit(scn('waits'))
  await script(cron)
  assert.equal(mails(site).length, 0, 'it has not waited an hour')
  const [name] = site.waiting()
  const anHourAgo = `${Number(name!.slice(0, 16)) - 3_700_000_000}${name!.slice(16)}`
  for (const end of ['', '.why']) renameSync(join(site.spool, name! + end), join(site.spool, anHourAgo + end))
  await script(cron)
  await script(cron)
  assert.equal(mails(site).length, 1)
  const { toEmail, textVersion } = mails(site)[0]![1]
  assert.equal(toEmail, 'admin@hub.example')
  assert.match(
    textVersion,
    /1 submissions wait to be put on record, the oldest for 37\d\d s\. No answer from the receiver/,
  )
  const settings = join(site.env.HUBZILLA_HOME!, 'settings.json')
  const all = JSON.parse(readFileSync(settings, 'utf8'))
  all.civic_receiver.told_at -= 86_401
  writeFileSync(settings, JSON.stringify(all))
  await script(cron)
  assert.equal(mails(site).length, 2)
})

test('where no mail can be sent, nobody is said to have been told', { skip }, async (t) => {
  const { site, script } = withAddon(t)
  await site.start()
  site.env = { ...hubzilla(site, { admin_email: 'a@hub.example' }), HUBZILLA_NO_MAIL: '1' }
  await site.submit({ ...scn('x'), standing: 'none' })
  await script(cron)
  const [page] = await script<string>("$page = ''; exampleaddon_plugin_admin($page); $say($page);")
  assert.match(page!, /A mail about this could not be sent.*nobody was told/)
})

test('the heads of the day are posted once, publicly, and verify --heads takes the text of the post', {
  skip,
}, async (t) => {
  const { site, script } = withAddon(t)
  await ready(site)
  await site.submit(scn('1'), scn('2'), scn('3', 'elm-court'))
  await script(`Zotlabs\\Lib\\Config::Set('exampleaddon', 'heads_channel', 'heads'); ${cron} ${cron}`)
  const posts = told(site).filter(([kind]) => kind === 'post') as [string, Record<string, unknown>][]
  assert.equal(posts.length, 1)
  const { as, body, item_private, allow_cid } = posts[0]![1]
  assert.deepEqual([as, item_private, allow_cid], [7, 0, ''])
  assert.match(
    String(body),
    /^Heads of the records of hub\.example on \d{4}-\d\d-\d\d\n\[code\]\nscn01\/elm-court:1:/,
  )
  const file = join(site.dir, 'post.txt')
  writeFileSync(file, String(body))
  const whole = await audit('verify', '--data', site.data, '--copy', '--heads', file)
  assert.equal(whole.exit, 0, whole.out + whole.err)
  assert.match(whole.out, /WHOLE/)
})

test('when submissions wait, the first click to disable the addon says so, and a second click disables it', {
  skip,
}, async (t) => {
  const { site, script } = withAddon(t)
  site.at(await freePort())
  site.env = hubzilla(site)
  const click = `
    App::$argv = ['admin', 'addons', 'exampleaddon']; $_GET = ['a' => 't']; $none = [];
    $say($gone(function () use (&$none) { exampleaddon_before_disabling($none); }));`
  assert.deepEqual(await script(click), [''], 'nothing waits')
  await site.submit(scn('waits'))
  assert.deepEqual(await script(`${click} ${click}`), ['https://hub.example/admin/addons/exampleaddon', ''])
  const notices = told(site).filter(([kind]) => kind === 'notice')
  assert.match(String(notices[0]?.[1]), /^1 submissions wait to be put on record and 0 were refused/)
  assert.deepEqual(await script(click.replace("'exampleaddon']", "'other']")), [''], 'another addon')
  await script('exampleaddon_unload();')
  assert.match(site.log.join(''), /1 submissions wait .* util\/addons install exampleaddon/, 'by util/addons')
})

test('command.php posts all waiting submissions, prints the state of the spool, and does nothing when a web server runs it', {
  skip,
}, async (t) => {
  const { site, addon } = withAddon(t)
  await ready(site)
  writeFileSync(
    join(site.dir, 'include/cli_startup.php'),
    `<?php require '${process.cwd()}/test/fixtures/hubzilla/hubzilla.php'; function cli_startup() {}`,
  )
  const run = async (...args: string[]) => {
    const child = site.program(
      process.env.CIVIC_PHP ?? 'php',
      join(addon, 'civic_receiver/command.php'),
      ...args,
    )
    child.stdin.end()
    let out = ''
    for await (const chunk of child.stdout) out += chunk
    if (child.exitCode === null) await new Promise((resolve) => child.once('exit', resolve))
    return { out, code: child.exitCode }
  }
  assert.deepEqual(await run('check'), {
    out: 'The receiver answers, and it accepts the token. Nothing was stored.\n',
    code: 0,
  })
  site.env = hubzilla(site)
  writeFileSync(join(site.dir, 'token'), 'NODE_TOKEN=x')
  await site.submit(scn('waits'))
  const status = await run('status')
  assert.equal(status.code, 1)
  assert.equal(JSON.parse(status.out).waits[0].cause, 'token')
  writeFileSync(join(site.dir, 'token'), 'test-token-'.padEnd(40, 't'))
  const posted = await run('post')
  assert.deepEqual([posted.code, JSON.parse(posted.out).waiting], [0, 0])
  assert.equal((await run('nonsense')).code, 2)
})
