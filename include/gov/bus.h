/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef GOV_BUS_H
#define GOV_BUS_H

/* clang-format off */
/*
 * Names of the D-Bus API, version 1: service org.govd1, object /org/govd1, interface org.govd1.Manager; spoken on the
 * private socket RUNTIME_DIR/govd.sock without a bus daemon and, by the govd of the default RUNTIME_DIR, on the system
 * bus. Who may call: root all; members of group govd what is marked r; Run, Touch and Lease also those whom the policy's
 * `allow` lists; nobody else. On the system bus, where it's not by these, polkit is asked: for org.govd1.look (what is
 * marked r), org.govd1.run (Run, Touch, Lease) or org.govd1.act (the others), with the method's name as detail `method`.
 *
 * method          in      out      r  meaning
 * Status          -       a{sv}    r  the daemon at a glance
 * ListAgents      s       aa{sv}   r  agents of a policy, or of all when ""
 * ShowAgent       s       a{sv}    r  ID: id, unique prefix of it, POLICY/KEY, or a POLICY with one agent
 * Run             ssbsas  sb          policy or "", key or "", reuse, executable, argv -> id, reused. Places the
 *                                     calling process (by its peer credentials), which then execs. With reuse and a
 *                                     living agent of that policy and key nothing is placed, and its lease begins anew
 * Adopt           us      s           pid, policy or "" -> id
 * Command         ss      s           one of touch release freeze thaw stop kill, ID -> id; drain resume, policy or ""
 *                                     -> "". stop and kill return at once; the agent's end is an event
 * Touch           s       s           ID -> id: it is in use, its lease begins anew
 * Lease           st      s           ID, ms -> id: for that long it isn't ended as idle, hung or orphaned; 0 ends it
 * ListPolicies    -       aa{sv}   r  name, file, mode, agents, state (loaded | suspended | error), error
 * ShowPolicy      s       s        r  YAML with all defaults filled in
 * TestPolicy      u       a{sv}    r  PID: which policy it would get and, for each other, the first key that didn't
 *                                     match
 * Explain         s       a{sv}    r  PID or ID: the same, and state, what will happen next and why
 * Reload          -       a{sv}       {policies: u, errors: as}: policies read again; the bad ones keep what was in
 *                                     force
 * Subscribe       b       aa{sv}   r  recent events, oldest first; true: and from now on the signal Event(a{sv}) on
 *                                     this connection
 *
 * The a{sv} use the names and units of the JSON contract; the values are s, b, t, x, d, as, a{sv}, aa{sv}. A null is
 * left out. An event's `time` is an RFC 3339 string, UTC with ms.
 *
 * TestPolicy and Explain: pid, exe, script, policy (what it would get or has), protected b; policies aa{sv}, one for
 * each policy: {policy: s, matched: b, key: s (the first that didn't match), reason: s (in words)}; of an agent also
 * agent (its id), state, next: {action: s, in_s: d}, why: s.
 */
/* clang-format on */

#define GOV_BUS_SERVICE "org.govd1"
#define GOV_BUS_PATH "/org/govd1"
#define GOV_BUS_MANAGER "org.govd1.Manager"
#define GOV_BUS_SOCKET "govd.sock"
#define GOV_BUS_GROUP "govd"

/* Errors: the message says in words what is wrong and what to do. */
#define GOV_ERROR_NO_SUCH_AGENT "org.govd1.Error.NoSuchAgent"
#define GOV_ERROR_AMBIGUOUS "org.govd1.Error.Ambiguous"
#define GOV_ERROR_NO_SUCH_POLICY "org.govd1.Error.NoSuchPolicy"
#define GOV_ERROR_NO_SUCH_PROCESS "org.govd1.Error.NoSuchProcess"
#define GOV_ERROR_NO_MATCH "org.govd1.Error.NoMatch"
#define GOV_ERROR_PROTECTED "org.govd1.Error.Protected"
#define GOV_ERROR_DENIED "org.govd1.Error.Denied"
#define GOV_ERROR_BUSY "org.govd1.Error.Busy"
#define GOV_ERROR_INVALID "org.govd1.Error.Invalid"
#define GOV_ERROR_FAILED "org.govd1.Error.Failed"

/* In RUNTIME_DIR, links for govctl when govd is down. */
#define GOV_RUNTIME_STATE_LINK "state" /* -> STATE_DIR */

#define GOV_DEFAULT_RUNTIME_DIR "/run/govd"
#define GOV_DEFAULT_STATE_DIR "/var/lib/govd"
#define GOV_DEFAULT_SLICE "agents.slice"
#define GOV_DEFAULT_CONFIG_DIR "/etc/govd"
#define GOV_DEFAULT_DATA_DIR "/usr/share/govd"

#endif
