/** A Debian 13 with systemd as its first process, in namespaces of its own, without an image, a virtual machine or a network. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isRoot, lacking } from '../needs.ts'

export type Ran = { readonly code: number; readonly output: string }

export type Machine = {
  /** A directory of this host that is /shared in the machine. */
  readonly shared: string
  /** Runs a line of bash in the machine, as root. */
  run(line: string): Ran
  /** Does the same, and throws with the output when the line fails. */
  must(line: string): string
  start(line: string): ChildProcess
  /** Cuts the power and starts the machine again. */
  reboot(): Promise<void>
  end(): Promise<void>
}

/** Why no machine can be made here; undefined when one can be made. */
export function obstacle(): string | undefined {
  if (!isRoot) return 'it needs root, for namespaces and debootstrap'
  const tool = lacking('debootstrap', 'unshare', 'nsenter', 'apt-get')
  if (tool !== undefined) return `${tool} is not installed`
  const namespaces = ['--mount', '--pid', '--fork', '--net', '--cgroup']
  if (spawnSync('unshare', [...namespaces, 'true']).status !== 0)
    return 'this machine allows no new namespaces'
  if (!cgroupRoot()) return 'no cgroup2 is mounted here'
  return undefined
}

function cgroupRoot(): string | undefined {
  return ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((path) => existsSync(join(path, 'cgroup.procs')))
}

const packages =
  'systemd,systemd-sysv,dbus,nodejs,openssh-client,openssl,curl,jq,strace,nginx-light,caddy,haproxy,postgresql'

/** The mirror that the apt of this host uses. */
export function debianMirror(): string {
  const sites = execFileSync('apt-get', ['indextargets', '--format', '$(SITE)', 'Origin: Debian']).toString()
  const mirror = sites.split('\n').find((site) => !site.endsWith('-security'))
  if (!mirror) throw new Error('apt knows no mirror of Debian')
  return mirror
}

/** The tree of a Debian 13. It is made once and kept. */
export function debianTree(): string {
  const tree = process.env.CIVIC_DEPLOY_TREE ?? join(tmpdir(), 'civic-debian-13')
  if (existsSync(join(tree, 'usr/lib/postgresql'))) return tree
  const unfinished = `${tree}.unfinished`
  rmSync(unfinished, { recursive: true, force: true })
  execFileSync(
    'debootstrap',
    ['--variant=minbase', `--include=${packages}`, 'trixie', unfinished, debianMirror()],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  for (const unit of ['nginx', 'caddy', 'haproxy', 'postgresql'])
    execFileSync('systemctl', ['--root', unfinished, 'disable', '--quiet', unit])
  // An installer or the first start would make these files.
  writeFileSync(join(unfinished, 'etc/hosts'), '127.0.0.1 localhost\n::1 localhost\n')
  writeFileSync(join(unfinished, 'etc/machine-id'), '')
  rmSync(tree, { recursive: true, force: true })
  renameSync(unfinished, tree)
  return tree
}

export async function bootMachine(tree: string): Promise<Machine> {
  const work = mkdtempSync(join(tmpdir(), 'civic-machine-'))
  const cgroup = join(cgroupRoot() as string, `civic-machine-${process.pid}`)
  mkdirSync(cgroup)
  mkdirSync(join(work, 'shared'))
  let unshare: ChildProcess
  let first = 0

  const boot = async (): Promise<void> => {
    const enter = `echo $$ >${cgroup}/cgroup.procs && exec unshare --mount --pid --fork --kill-child --net --cgroup --ipc --uts ${resolve('test/deploy/boot')} ${tree} ${work}`
    unshare = spawn('sh', ['-c', enter], { stdio: 'ignore' })
    for (let n = 0; n < 600; n++) {
      await delay(100)
      first = Number(
        spawnSync('pgrep', ['-P', String(unshare.pid)])
          .stdout.toString()
          .trim(),
      )
      if (first && /running|degraded/.test(run('systemctl is-system-running').output)) return
    }
    throw new Error('systemd did not come up')
  }
  const powerOff = async (): Promise<void> => {
    const ended = once(unshare, 'exit')
    process.kill(first, 'SIGKILL')
    await ended
  }
  const argumentsFor = (line: string): string[] => [
    ...['-t', String(first), '-m', '-p', '-n', '-C', '-i', '-u', '--root', `--wd=/proc/${first}/root/root`],
    ...['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'bash', '-c', line],
  ]
  const run = (line: string): Ran => {
    const { status, stdout, stderr } = spawnSync('nsenter', argumentsFor(line), { maxBuffer: 2 ** 28 })
    return { code: status ?? -1, output: `${stdout}${stderr}` }
  }
  await boot()
  return {
    shared: join(work, 'shared'),
    run,
    must(line) {
      const { code, output } = run(line)
      if (code !== 0) throw new Error(`${line}\nended with ${code}:\n${output}`)
      return output
    },
    start: (line) => spawn('nsenter', argumentsFor(line), { stdio: ['pipe', 'pipe', 'inherit'] }),
    async reboot() {
      await powerOff()
      await boot()
    },
    async end() {
      await powerOff()
      for (let n = 0; n < 50; n++) {
        try {
          // Files of a cgroup cannot be removed; they go when its directory is removed.
          for (const child of execFileSync('find', [cgroup, '-depth', '-type', 'd'])
            .toString()
            .trim()
            .split('\n'))
            rmdirSync(child)
          break
        } catch {
          await delay(100)
        }
      }
      rmSync(work, { recursive: true, force: true })
    },
  }
}
