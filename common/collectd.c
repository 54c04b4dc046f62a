/* SPDX-License-Identifier: MIT */
/*
 * The collectd host: the only file that knows collectd.  The Makefile compiles
 * it once for each plugin with -DNM_PLUGIN=netmon_<name>.
 *
 * The read callback and one thread that sleeps on the listening sockets share
 * the views under one lock.  It is held while messages are delivered and never
 * while values or notifications are dispatched: a slow writer delays nobody.
 */
#include "collectd.h"

#include "plugin.h"
#include "utils/common/common.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include "netmon.h"

#define NETNS_DIR "/run/netns"
#define OWN       "." /* collectd's own namespace in the option Namespace */

extern const struct nm_plugin NM_PLUGIN;
static const struct nm_plugin *const self = &NM_PLUGIN;

static struct seat {           /* a view and the namespace that it is opened in */
	struct nm_netns netns; /* name "": collectd's own */
	struct nm_view *view;  /* NULL: it could not be opened */
	int told;              /* the error that was logged last */
	uint64_t round;        /* the last reading that it was part of */
	bool told_loss;        /* of events, since then */
	uint64_t missing;      /* sources, a bit each */
	uint64_t cut;          /* those whose dump ended early, likewise */
} * seats;
static size_t nseats;
static uint64_t changes; /* of the seats */
static uint64_t rounds;  /* readings so far */

static void *config;
static struct nm_reading reading; /* of the read callback alone */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_t thread;
static int wake = -1, watch = -1;
static bool running, stopping, notifying;
static double interval;

static void say(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(int priority, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	plugin_log(priority, "%s: %s", self->name, text);
}

/* ---- configuration ------------------------------------------------------------------ */

static void to_arg(const oconfig_value_t *v, struct nm_arg *a)
{
	switch (v->type) {
	case OCONFIG_TYPE_STRING:
		*a = (struct nm_arg){.type = NM_ARG_STRING, .string = v->value.string};
		break;
	case OCONFIG_TYPE_NUMBER:
		*a = (struct nm_arg){.type = NM_ARG_NUMBER, .number = v->value.number};
		break;
	default:
		*a = (struct nm_arg){.type = NM_ARG_BOOL, .boolean = v->value.boolean};
	}
}

static int set_option(const oconfig_item_t *item)
{
	size_t n = (size_t)item->values_num;
	struct nm_arg *arg = calloc(n + 1, sizeof(*arg));
	char err[768] = "";
	int e;

	if (!arg)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		to_arg(&item->values[i], &arg[i]);
	e = nm_config_set(self, config, item->key, arg, n, err, sizeof(err));
	if (!e && item->children_num) {
		snprintf(err, sizeof(err),
			 "option %s: the block <%s> is not accepted; accepted is a line", item->key,
			 item->key);
		e = -EINVAL;
	}
	if (e)
		say(LOG_ERR, "<Plugin %s>: %s", self->name, err);
	free(arg);
	return e;
}

/* Values under another plugin's name, while that plugin sends its own, are two truths. */
static int check_names(void)
{
	const struct nm_option *o;

	for (size_t i = 0; (o = nm_option(self, i)); i++) {
		const char *name = o->type == NM_OPT_PLUGIN && config ?
					   *(char **)((char *)config + o->off) :
					   NULL;

		if (!name || !strcmp(name, self->name) || !plugin_is_loaded(name))
			continue;
		say(LOG_ERR,
		    "<Plugin %s>: option %s: the plugin \"%s\" is loaded and sends values under this name "
		    "itself; accepted is the name of a plugin that is not loaded",
		    self->name, o->key, name);
		return -EINVAL;
	}
	return 0;
}

/* Called once for each block.  What is refused here keeps the daemon from starting. */
static int configure(oconfig_item_t *block)
{
	int err = config ? 0 : nm_config_new(self, &config);

	for (int i = 0; !err && i < block->children_num; i++)
		err = set_option(&block->children[i]);
	return err ? err : check_names();
}

/* Patterns that have matched nothing: probably not what was meant. */
static void say_unused(void)
{
	const struct nm_option *o;
	const char *pattern;
	bool used;

	for (size_t i = 0; (o = nm_option(self, i)); i++)
		for (size_t k = 0;
		     o->type == NM_OPT_SELECT &&
		     (pattern = nm_select_pattern((void *)((char *)config + o->off), k, &used));
		     k++)
			if (!used)
				say(LOG_WARNING,
				    "<Plugin %s>: option %s: nothing is named \"%s\" here now; it will be "
				    "picked up when it appears",
				    self->name, o->key, pattern);
}

/* ---- handing on ---------------------------------------------------------------------- */

static void name_instance(char to[static DATA_MAX_NAME_LEN], const char *instance,
			  const char *netns)
{
	char name[2 * NAME_MAX];

	snprintf(name, sizeof(name), "%.127s%s%.127s", instance, *netns ? "@" : "", netns);
	sstrncpy(to, name, DATA_MAX_NAME_LEN);
}

/* Without memory for it, a value goes without. */
static meta_data_t *about(const struct nm_about *a)
{
	meta_data_t *meta = a ? meta_data_create() : NULL;

	for (; meta && a; a = a->next)
		meta_data_add_string(meta, a->key, a->value);
	return meta;
}

/* The values of this reading, or those of the one before.  Returns whether there were any. */
static bool dispatch(const char *netns, const struct nm_reading *r, bool before)
{
	bool any = false;
	value_list_t vl = VALUE_LIST_INIT;
	value_t values[NM_VALUES_MAX];
	const char *instance = NULL;
	const struct nm_about *meta = NULL;

	vl.time = NS_TO_CDTIME_T(before ? r->before : r->time);
	for (const struct nm_value *p = r->value; p < r->value + r->n; p++) {
		if (p->before != before)
			continue;
		any = true;
		for (size_t i = 0; i < p->n; i++)
			if (nm_is_gauge(p, i))
				values[i].gauge = r->number[p->first + i].gauge;
			else
				values[i].derive = (derive_t)r->number[p->first + i].derive;
		vl.values = values;
		vl.values_len = p->n;
		vl.interval = p->slow ? DOUBLE_TO_CDTIME_T(r->slow) : 0;
		if (p->instance != instance)
			name_instance(vl.plugin_instance, p->instance, netns);
		instance = p->instance;
		if (p->about != meta) {
			meta_data_destroy(vl.meta);
			vl.meta = about(p->about);
		}
		meta = p->about;
		sstrncpy(vl.plugin, p->plugin ? p->plugin : self->name, sizeof(vl.plugin));
		sstrncpy(vl.type, p->type, sizeof(vl.type));
		sstrncpy(vl.type_instance, p->type_instance ? p->type_instance : "",
			 sizeof(vl.type_instance));
		plugin_dispatch_values(&vl);
	}
	meta_data_destroy(vl.meta);
	return any;
}

/*
 * What was in the reading before goes first, and is given a moment: of one series, two values that
 * follow each other closely could be swapped by the daemon's write threads.
 */
static void dispatch_all(const char *netns, const struct nm_reading *r)
{
	if (dispatch(netns, r, true))
		poll(NULL, 0, 1);
	dispatch(netns, r, false);
}

/* Who is woken by a message wants to know where to look; what does not fit is left out. */
static void add_hint(notification_t *n, const char *netns)
{
	const char *noun = self->name + strlen("netmon_");
	size_t used = strlen(n->message), room = sizeof(n->message) - used;
	int len = snprintf(n->message + used, room,
			   "; look at: netmon %s -s%s%s, netmon-graph %s%s%s", noun,
			   *netns ? " -N " : "", netns, self->graph ? self->graph : noun,
			   self->graph ? " " : "", self->graph ? n->plugin_instance : "");

	if (len < 0 || (size_t)len >= room)
		n->message[used] = 0;
}

static void notify(const char *netns, const struct nm_notice *from)
{
	static const int severity[] = {
		[NM_FAILURE] = NOTIF_FAILURE,
		[NM_WARNING] = NOTIF_WARNING,
		[NM_OKAY] = NOTIF_OKAY,
	};
	notification_t n = {.severity = severity[from->severity],
			    .time = NS_TO_CDTIME_T(from->time)};

	snprintf(n.message, sizeof(n.message), *netns ? "%.160s (network namespace %.60s)" : "%s",
		 from->message, netns);
	sstrncpy(n.host, hostname_g, sizeof(n.host));
	sstrncpy(n.plugin, from->plugin ? from->plugin : self->name, sizeof(n.plugin));
	name_instance(n.plugin_instance, from->instance, netns);
	if (from->severity != NM_OKAY)
		add_hint(&n, netns);
	sstrncpy(n.type_instance, from->what, sizeof(n.type_instance));
	for (size_t i = 0; i < from->nmeta; i++)
		plugin_notification_meta_add_string(&n, from->meta[i].key, from->meta[i].value);
	plugin_dispatch_notification(&n);
	plugin_notification_meta_free(n.meta);
}

static struct nm_notice *take(struct nm_netns *netns)
{
	struct nm_notice *n = NULL;

	for (size_t i = 0; !n && i < nseats; i++) {
		n = seats[i].view ? nm_take_notice(seats[i].view) : NULL;
		*netns = seats[i].netns;
	}
	return n;
}

/*
 * Notices are taken under the lock and dispatched without it, by one thread at
 * a time so that they stay in order: it takes along what the other brings.
 */
static void notify_all(void)
{
	struct nm_netns netns;
	struct nm_notice *n;

	if (notifying)
		return;
	notifying = true;
	while ((n = take(&netns))) {
		pthread_mutex_unlock(&lock);
		notify(netns.name, n);
		free(n);
		pthread_mutex_lock(&lock);
	}
	notifying = false;
}

/* ---- views ------------------------------------------------------------------------------ */

static const char *label(const struct seat *s)
{
	return *s->netns.name ? s->netns.name : "of collectd";
}

/* What cannot be had here is said once, and again when it is another thing. */
static void say_sources(struct seat *s)
{
	uint64_t missing = 0;

	for (size_t i = 0; i < self->nsource; i++)
		missing |= nm_source_error(s->view, i) ? 1ull << i : 0;
	for (size_t i = 0; i < self->nsource && missing != s->missing; i++) {
		int err = nm_source_error(s->view, i);

		if (err == -EPERM)
			say(LOG_WARNING,
			    "network namespace %s: %s need CAP_NET_ADMIN: %s will be absent; "
			    "packaging/systemd/netmon.conf shows how collectd gets it",
			    label(s), self->source[i].what, self->source[i].without);
		else if (err)
			say(LOG_WARNING,
			    "network namespace %s: this kernel does not tell %s (%s): %s will be absent",
			    label(s), self->source[i].what, STRERROR(-err),
			    self->source[i].without ? self->source[i].without : "everything");
	}
	s->missing = missing;
}

/* A dump that ended with an error after a part of what there is: once, and when it is over. */
static void say_cut(struct seat *s)
{
	for (size_t i = 0; i < self->nsource; i++) {
		int err = nm_source_cut(s->view, i);
		uint64_t bit = 1ull << i;

		if (err && !(s->cut & bit))
			say(LOG_WARNING,
			    "network namespace %s: the kernel breaks off its list of %s (%s): a driver "
			    "fails to answer; what came before is reported, the rest is missing",
			    label(s), self->source[i].what, STRERROR(-err));
		else if (!err && s->cut & bit)
			say(LOG_NOTICE,
			    "network namespace %s: the kernel's list of %s is whole again",
			    label(s), self->source[i].what);
		s->cut = err ? s->cut | bit : s->cut & ~bit;
	}
}

/* Why a view could not be opened; the next reading tries again. */
static void say_closed(const struct seat *s, int err)
{
	const char *family = NULL;

	for (size_t i = 0; !family && i < self->nsource; i++)
		family = self->source[i].family;
	if (err == -EPROTONOSUPPORT && family)
		say(LOG_WARNING,
		    "network namespace %s: this kernel has no generic netlink family \"%s\" now; it "
		    "is looked for at every sixth reading",
		    label(s), family);
	else if (err == -EPERM && family && !*s->netns.name)
		say(LOG_ERR,
		    "network namespace %s: the kernel's \"%s\" needs CAP_NET_ADMIN; "
		    "packaging/systemd/netmon.conf shows how collectd gets it",
		    label(s), family);
	else
		say(LOG_ERR, "network namespace %s cannot be read: %s%s", label(s), STRERROR(-err),
		    *s->netns.name && (err == -EPERM || err == -EACCES) ?
			    "; entering one needs CAP_SYS_ADMIN and a file below /run/netns that can "
			    "be read; packaging/systemd/netmon.conf shows how collectd gets it" :
			    "");
}

static void open_seat(struct seat *s)
{
	int err = nm_open(&s->view, self, config, *s->netns.name ? s->netns.name : NULL, NM_EVENTS);

	if (!err) {
		s->view->interval = interval;
		err = nm_sync(s->view);
		if (err == -EINTR)
			err = 0; /* the first reading tries again */
	}
	if (!err)
		say_sources(s);
	if (err) {
		nm_close(s->view);
		s->view = NULL;
	}
	/* one that has vanished meanwhile is nothing to complain of */
	if (err && err != s->told && !(err == -ENOENT && *s->netns.name))
		say_closed(s, err);
	s->told = err;
}

static void wake_thread(void)
{
	if (wake >= 0 && eventfd_write(wake, 1) < 0)
		say(LOG_WARNING, "the event thread cannot be woken: %s", STRERRNO);
}

/* The event thread must learn that there is something else to sleep on. */
static void seats_changed(void)
{
	changes++;
	wake_thread();
}

static void close_seat(size_t i)
{
	nm_close(seats[i].view);
	memmove(&seats[i], &seats[i + 1], (--nseats - i) * sizeof(*seats));
	seats_changed();
}

static struct seat *seat_of(const struct nm_netns *n)
{
	for (size_t i = 0; i < nseats; i++)
		if (!strcmp(seats[i].netns.name, n->name) && seats[i].netns.ino == n->ino &&
		    seats[i].netns.dev == n->dev)
			return &seats[i];
	return NULL;
}

static bool listed(const struct seat *s, const struct nm_netns *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(s->netns.name, list[i].name) && s->netns.ino == list[i].ino &&
		    s->netns.dev == list[i].dev)
			return true;
	return !*s->netns.name;
}

/* No other namespace is wanted: then it is nothing to us which there are. */
static bool own_alone(void)
{
	const struct nm_config *c = config;

	return !c->netns.n && !c->netns.invert;
}

static bool wanted(const char *netns)
{
	const struct nm_config *c = config;

	return own_alone() ? !strcmp(netns, OWN) : nm_selected(&c->netns, netns);
}

static int add_seat(const struct nm_netns *n)
{
	struct seat *s = reallocarray(seats, nseats + 1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	seats = s;
	seats[nseats] = (struct seat){.netns = *n};
	open_seat(&seats[nseats++]);
	seats_changed();
	return 0;
}

/*
 * What could not be opened is tried at every reading, but a family that the kernel lacks at every
 * sixth: it starts modprobe each time (net/netlink/genetlink.c, request_module()).
 */
static bool is_due(const struct seat *s)
{
	return !s->view && s->told && (s->told != -EPROTONOSUPPORT || rounds % 6 == 0);
}

/*
 * Opens namespaces that have appeared and closes those that have lost their
 * name: an open socket would keep a deleted namespace, and its devices, alive.
 */
static int follow(void)
{
	static const struct nm_netns own;
	struct nm_netns *list = NULL;
	size_t n = 0;
	int err = own_alone() ? 0 : nm_netns_list(&list, &n);

	if (err)
		return err;
	if (watch >= 0) /* the directory comes with the first namespace */
		inotify_add_watch(watch, NETNS_DIR, IN_CREATE | IN_DELETE | IN_MOVE);
	for (size_t i = nseats; i--;)
		if (!listed(&seats[i], list, n)) {
			say(LOG_INFO, "network namespace %s is gone", label(&seats[i]));
			close_seat(i);
		}
	if (wanted(OWN) && !seat_of(&own))
		err = add_seat(&own);
	for (size_t i = 0; !err && i < n; i++)
		if (wanted(list[i].name) && !seat_of(&list[i]))
			err = add_seat(&list[i]);
	free(list);
	for (size_t i = 0; i < nseats; i++)
		if (is_due(&seats[i])) {
			open_seat(&seats[i]);
			if (seats[i].view)
				seats_changed();
		}
	return err;
}

/* ---- reading ------------------------------------------------------------------------------ */

static struct seat *next_seat(void)
{
	for (size_t i = 0; i < nseats; i++)
		if (seats[i].view && seats[i].round != rounds)
			return &seats[i];
	return NULL;
}

/* Never an error: collectd would read less and less often, up to once a day. */
static int read_all(user_data_t *ud)
{
	struct seat *s;
	int err;

	(void)ud;
	pthread_mutex_lock(&lock);
	err = follow();
	if (err)
		say(LOG_WARNING, "network namespaces cannot be listed: %s", STRERROR(-err));
	rounds++;
	while ((s = next_seat())) {
		struct nm_netns netns = s->netns;

		s->round = rounds;
		s->told_loss = false;
		err = nm_read(s->view, &reading);
		if (err && err != s->told)
			say(LOG_WARNING, "network namespace %s: reading failed: %s", label(s),
			    STRERROR(-err));
		s->told = err;
		say_sources(s);
		say_cut(s);
		if (nm_timeout(s->view) >= 0) /* it does not know how long to sleep */
			wake_thread();
		notify_all();
		if (err)
			continue;
		pthread_mutex_unlock(&lock);
		dispatch_all(netns.name, &reading);
		pthread_mutex_lock(&lock);
	}
	if (rounds == 1) /* now everything that could be chosen was seen */
		say_unused();
	pthread_mutex_unlock(&lock);
	return 0;
}

/* ---- events --------------------------------------------------------------------------------- */

enum { WAKE, WATCH, FIRST_VIEW, FDS_PER_VIEW = 2 };

struct sleeper {
	struct pollfd *fd;
	size_t *seat; /* whose fd it is */
	size_t n;
	uint64_t changes;
};

static int gather(struct sleeper *z)
{
	size_t max = FIRST_VIEW + nseats * FDS_PER_VIEW;
	struct pollfd *fd = reallocarray(z->fd, max, sizeof(*fd));
	size_t *seat;

	if (!fd)
		return -ENOMEM;
	z->fd = fd;
	seat = reallocarray(z->seat, max, sizeof(*seat));
	if (!seat)
		return -ENOMEM;
	z->seat = seat;
	fd[WAKE] = (struct pollfd){.fd = wake, .events = POLLIN};
	fd[WATCH] = (struct pollfd){.fd = watch, .events = POLLIN};
	z->n = FIRST_VIEW;
	for (size_t i = 0; i < nseats; i++) {
		int of[FDS_PER_VIEW];
		size_t k = seats[i].view ? nm_fds(seats[i].view, of, FDS_PER_VIEW) : 0;

		while (k) {
			fd[z->n] = (struct pollfd){.fd = of[--k], .events = POLLIN};
			seat[z->n++] = i;
		}
	}
	z->changes = changes;
	return 0;
}

static void events_of(struct seat *s)
{
	int err = nm_events(s->view);

	if (err == -ENOBUFS && !s->told_loss)
		say(LOG_NOTICE,
		    "network namespace %s: events were lost, the next reading repairs; a larger ReceiveBuffer "
		    "loses less",
		    label(s));
	else if (err && err != -ENOBUFS)
		say(LOG_WARNING, "network namespace %s: events cannot be read: %s", label(s),
		    STRERROR(-err));
	s->told_loss |= err == -ENOBUFS;
}

static void drain_fd(int fd)
{
	char buf[4096];

	while (fd >= 0 && read(fd, buf, sizeof(buf)) > 0)
		;
}

/* How long a storm's events wait for each other; who wants the thread awake does not wait. */
static int longest_rest(void)
{
	int rest = 0, one;

	for (size_t i = 0; i < nseats; i++) {
		one = seats[i].view ? nm_rest(seats[i].view) : 0;
		rest = one > rest ? one : rest;
	}
	return rest;
}

/* ms until a view wants to be called though nothing comes; -1: none does. */
static int shortest_sleep(void)
{
	int least = -1;

	for (size_t i = 0; i < nseats; i++) {
		int ms = seats[i].view ? nm_timeout(seats[i].view) : -1;

		least = ms >= 0 && (least < 0 || ms < least) ? ms : least;
	}
	return least;
}

static void *sleep_on_events(void *arg)
{
	struct sleeper z = {0};
	int rest = 0;

	(void)arg;
	pthread_mutex_lock(&lock);
	while (!stopping && ((z.fd && z.changes == changes) || !gather(&z))) {
		int ms = shortest_sleep();

		pthread_mutex_unlock(&lock);
		if (rest)
			poll(&z.fd[WAKE], 1, rest);
		poll(z.fd, z.n, ms);
		pthread_mutex_lock(&lock);
		if (z.fd[WAKE].revents)
			drain_fd(wake);
		if (z.fd[WATCH].revents) {
			drain_fd(watch);
			follow();
		}
		/* Seats that were moved since: poll() will say it again. */
		for (size_t i = FIRST_VIEW; i < z.n && z.changes == changes; i++)
			if (z.fd[i].revents)
				events_of(&seats[z.seat[i]]);
		for (size_t i = 0; i < nseats; i++)
			if (seats[i].view && !nm_timeout(seats[i].view))
				events_of(&seats[i]);
		rest = longest_rest();
		notify_all();
	}
	pthread_mutex_unlock(&lock);
	free(z.fd);
	free(z.seat);
	return NULL;
}

/* ---- registration ------------------------------------------------------------------------------ */

/* Types of our own: the daemon may know them from a types.db, which must be today's. */
static int know_types(void)
{
	for (const struct nm_type *t = self->type; t < self->type + self->ntype; t++) {
		data_source_t source[NM_VALUES_MAX];
		data_set_t set = {.ds_num = t->n, .ds = source};
		const data_set_t *known = plugin_get_ds(t->name);
		bool same = known && known->ds_num == t->n;

		sstrncpy(set.type, t->name, sizeof(set.type));
		for (size_t i = 0; i < t->n; i++) {
			source[i] = (data_source_t){
				.type = t->source[i].gauge ? DS_TYPE_GAUGE : DS_TYPE_DERIVE,
				.min = t->source[i].gauge ? NAN : 0,
				.max = NAN,
			};
			sstrncpy(source[i].name, t->source[i].name, sizeof(source[i].name));
			same = same && known->ds[i].type == source[i].type &&
			       !strcmp(known->ds[i].name, source[i].name);
		}
		if (!known && plugin_register_data_set(&set))
			return -ENOMEM;
		if (known && !same)
			say(LOG_WARNING,
			    "a TypesDB of this daemon has the type %s with other data sources, and collectd will "
			    "refuse its values; use the netmon.types.db of this version, or none",
			    t->name);
	}
	return 0;
}

/* Sockets and threads would not survive the daemon's fork: they are made here, not earlier. */
static int init(void)
{
	int err = config ? 0 : nm_config_new(self, &config);

	if (!err)
		err = check_names();
	if (!err)
		err = know_types();
	if (err)
		return err;
	interval = CDTIME_T_TO_DOUBLE(plugin_get_interval());
	wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	watch = own_alone() ? -1 : inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	pthread_mutex_lock(&lock);
	err = follow();
	pthread_mutex_unlock(&lock);
	if (err)
		say(LOG_WARNING, "network namespaces cannot be listed: %s", STRERROR(-err));
	running = !plugin_thread_create(&thread, sleep_on_events, NULL, "netmon");
	if (!running)
		say(LOG_WARNING, "no event thread: changes are told at the next reading only");
	return 0;
}

static int stop(void)
{
	pthread_mutex_lock(&lock);
	stopping = true;
	seats_changed();
	pthread_mutex_unlock(&lock);
	if (running)
		pthread_join(thread, NULL);
	while (nseats)
		close_seat(nseats - 1);
	free(seats);
	nm_reading_free(&reading);
	nm_config_free(self, config);
	if (wake >= 0)
		close(wake);
	if (watch >= 0)
		close(watch);
	wake = watch = -1;
	return 0;
}

__attribute__((visibility("default"))) void module_register(void);
void module_register(void)
{
	plugin_register_complex_config(self->name, configure);
	plugin_register_init(self->name, init);
	plugin_register_complex_read("netmon", self->name, read_all, 0, NULL);
	plugin_register_shutdown(self->name, stop);
}
