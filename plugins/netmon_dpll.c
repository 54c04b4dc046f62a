/* SPDX-License-Identifier: MIT */
/* netmon_dpll: clocks and their inputs: locked or in holdover, phase, frequency, who is the source. */
#include <errno.h>
#include <inttypes.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "names.h"
#include "netmon.h"
#include "uapi.h"

/* ---- what the kernel's bytes mean ----------------------------------------------- */

static const struct nm_field device_rows[] = {
	NM_A(DPLL_A_ID, UINT),
	NM_A(DPLL_A_MODULE_NAME, STR),
	NM_A(DPLL_A_CLOCK_ID, UINT),
	NM_A(DPLL_A_MODE, ENUM, .names = &nm_DPLL_MODE),
	NM_A(DPLL_A_MODE_SUPPORTED, ENUM, .many = true, .names = &nm_DPLL_MODE),
	NM_A(DPLL_A_LOCK_STATUS, ENUM, .names = &nm_DPLL_LOCK_STATUS),
	NM_A(DPLL_A_TEMP, SINT), /* 1/DPLL_TEMP_DIVIDER degrees Celsius */
	NM_A(DPLL_A_TYPE, ENUM, .names = &nm_DPLL_TYPE),
	NM_A(DPLL_A_LOCK_STATUS_ERROR, ENUM, .names = &nm_DPLL_LOCK_STATUS_ERROR),
	NM_A(DPLL_A_CLOCK_QUALITY_LEVEL, ENUM, .many = true, .names = &nm_DPLL_CLOCK_QUALITY_LEVEL),
	NM_A(DPLL_A_PHASE_OFFSET_MONITOR, ENUM, .names = &nm_DPLL_FEATURE_STATE),
	NM_A(DPLL_A_PHASE_OFFSET_AVG_FACTOR, UINT),
};
static const struct nm_table device_attrs = NM_ATTRS("DPLL_A_", device_rows, NULL);

static const struct nm_field range_rows[] = {
	NM_A(DPLL_A_PIN_FREQUENCY_MIN, UINT),
	NM_A(DPLL_A_PIN_FREQUENCY_MAX, UINT),
};
static const struct nm_table range = NM_ATTRS("DPLL_A_PIN_", range_rows, NULL);

/* A device that the pin belongs to, a pin that it stands behind, a pin that accompanies it. */
static const struct nm_field other_rows[] = {
	NM_A(DPLL_A_PIN_ID, UINT),
	NM_A(DPLL_A_PIN_PARENT_ID, UINT),
	NM_A(DPLL_A_PIN_DIRECTION, ENUM, .names = &nm_DPLL_PIN_DIRECTION),
	NM_A(DPLL_A_PIN_PRIO, UINT),
	NM_A(DPLL_A_PIN_STATE, ENUM, .names = &nm_DPLL_PIN_STATE),
	NM_A(DPLL_A_PIN_PHASE_OFFSET, SINT), /* 1/DPLL_PHASE_OFFSET_DIVIDER ps */
	NM_A(DPLL_A_PIN_FRACTIONAL_FREQUENCY_OFFSET, SINT),
};
static const struct nm_table other = NM_ATTRS("DPLL_A_PIN_", other_rows, NULL);

static const struct nm_field pin_rows[] = {
	NM_A(DPLL_A_PIN_ID, UINT),
	NM_A(DPLL_A_PIN_MODULE_NAME, STR),
	NM_A(DPLL_A_PIN_CLOCK_ID, UINT),
	NM_A(DPLL_A_PIN_BOARD_LABEL, STR),
	NM_A(DPLL_A_PIN_PANEL_LABEL, STR),
	NM_A(DPLL_A_PIN_PACKAGE_LABEL, STR),
	NM_A(DPLL_A_PIN_TYPE, ENUM, .names = &nm_DPLL_PIN_TYPE),
	NM_A(DPLL_A_PIN_FREQUENCY, UINT), /* Hz */
	NM_A(DPLL_A_PIN_FREQUENCY_SUPPORTED, NEST, .many = true, .table = &range),
	NM_A(DPLL_A_PIN_CAPABILITIES, BITS, .names = &nm_DPLL_PIN_CAPABILITIES),
	NM_A(DPLL_A_PIN_PARENT_DEVICE, NEST, .many = true, .table = &other),
	NM_A(DPLL_A_PIN_PARENT_PIN, NEST, .many = true, .table = &other),
	NM_A(DPLL_A_PIN_PHASE_ADJUST_MIN, SINT),
	NM_A(DPLL_A_PIN_PHASE_ADJUST_MAX, SINT),
	NM_A(DPLL_A_PIN_PHASE_ADJUST, SINT),                /* ps */
	NM_A(DPLL_A_PIN_FRACTIONAL_FREQUENCY_OFFSET, SINT), /* parts per million */
	NM_A(DPLL_A_PIN_ESYNC_FREQUENCY, UINT),
	NM_A(DPLL_A_PIN_ESYNC_FREQUENCY_SUPPORTED, NEST, .many = true, .table = &range),
	NM_A(DPLL_A_PIN_ESYNC_PULSE, UINT), /* percent */
	NM_A(DPLL_A_PIN_REFERENCE_SYNC, NEST, .many = true, .table = &other),
	NM_A(DPLL_A_PIN_PHASE_ADJUST_GRAN, UINT),
};
static const struct nm_table pin_attrs = NM_ATTRS("DPLL_A_PIN_", pin_rows, NULL);

static const struct nm_field genl_rows[] = {
	{0},
};
static const struct nm_table device_table = NM_STRUCT_OF(genlmsghdr, "", genl_rows, &device_attrs);
static const struct nm_table pin_table = NM_STRUCT_OF(genlmsghdr, "", genl_rows, &pin_attrs);

/* ---- what is asked ---------------------------------------------------------------- */

static void ask_device(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)v;
	if (key)
		mnl_attr_put_u32(nlh, DPLL_A_ID, *(const uint32_t *)key);
}

static void ask_pin(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)v;
	if (key)
		mnl_attr_put_u32(nlh, DPLL_A_PIN_ID, *(const uint32_t *)key);
}

static void ask_links(const struct nm_view *v, struct nlmsghdr *nlh, const void *key)
{
	(void)v;
	(void)key;
	mnl_attr_put_u32(nlh, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
}

/*
 * What is measured changes without an event: devices and pins are kept for their
 * events and distrusted after each reading.  A dump ends where a driver's getter
 * fails (dpll_nl_pin_get_dumpit()).
 */
enum { LINKS, DEVICES, PINS };

static const struct nm_source sources[] = {
	[LINKS] = {"links", .get = RTM_GETLINK, .add = RTM_NEWLINK, .del = RTM_DELLINK,
		   .kept = true, .aid = true, .group = {RTNLGRP_LINK}, .table = &nm_link_table,
		   .ask = ask_links},
	[DEVICES] = {"devices", .family = DPLL_FAMILY_NAME, .get = DPLL_CMD_DEVICE_GET,
		     .add = DPLL_CMD_DEVICE_GET, .del = DPLL_CMD_DEVICE_DELETE_NTF,
		     .ntf = {DPLL_CMD_DEVICE_CREATE_NTF, DPLL_CMD_DEVICE_CHANGE_NTF}, .kept = true,
		     .partial = true, .mcast = DPLL_MCGRP_MONITOR, .table = &device_table,
		     .ask = ask_device},
	[PINS] = {"pins", .family = DPLL_FAMILY_NAME, .get = DPLL_CMD_PIN_GET,
		  .add = DPLL_CMD_PIN_GET, .del = DPLL_CMD_PIN_DELETE_NTF,
		  .ntf = {DPLL_CMD_PIN_CREATE_NTF, DPLL_CMD_PIN_CHANGE_NTF}, .kept = true,
		  .partial = true, .mcast = DPLL_MCGRP_MONITOR, .table = &pin_table,
		  .ask = ask_pin},
};

/* ---- what is configured -------------------------------------------------------------- */

enum {
	LOCK = 1 << 0,
	SOURCE = 1 << 1,
	STATE = 1 << 2,
	MODE = 1 << 3,
	GONE = 1 << 4,
};
static const struct nm_name notice_names[] = {
	{LOCK, "lock"}, {SOURCE, "source"}, {STATE, "state"}, {MODE, "mode"}, {GONE, "gone"},
};
static const struct nm_names notices = {NM_ARRAY(notice_names)};

struct config {
	struct nm_config common;
	struct nm_select devices, pins;
	unsigned notify;
};

static const struct config defaults = {
	.common = NM_CONFIG_DEFAULTS,
	.notify = LOCK | SOURCE | STATE | MODE | GONE,
};

static const struct nm_option options[] = {
	NM_OPTION(
		config, "Device", NM_OPT_SELECT, devices, .def = "all",
		.help = "Devices to report, by their plugin instance: names or POSIX extended regular "
			"expressions between slashes, not anchored. May stand several times. An empty "
			"list is all."),
	NM_OPTION(config, "IgnoreSelected", NM_OPT_BOOL, devices.invert,
		  .help = "Report all devices but those of Device."),
	NM_OPTION(config, "Pin", NM_OPT_SELECT, pins, .def = "all",
		  .help = "Pins to report, in the same way, by their label."),
	NM_OPTION(config, "PinIgnoreSelected", NM_OPT_BOOL, pins.invert,
		  .help = "Report all pins but those of Pin."),
	NM_OPTION(config, "Notify", NM_OPT_WORDS, notify, .words = &notices,
		  .help = "Which changes are told by a notification."),
};

/* ---- what is kept ----------------------------------------------------------------------- */

#define LABEL_SIZE  128
#define NAME_LENGTH 56
#define QUANTITIES  5
#define QUALITIES   4
#define STATUSES    5   /* 0: those that this plugin does not know */
#define REMEMBERED  256 /* devices that are gone, for when they come back */
#define NS_PER_S    1e9
#define QUIET       40000000 /* ns: pins that come or go closer together are told together */

/* Numbers that are sent as they are. */
struct quantity {
	const char *type, *name;
	double unit; /* of the attribute, in that of the value */
	uint16_t attr;
	bool sign, slow;
};

enum { LOCK_STATUS, LOCK_STATUS_ERROR, TEMP, DEVICE_MODE };
static const struct quantity of_device[] = {
	[LOCK_STATUS] = {"gauge", "lock_status", 1, .attr = DPLL_A_LOCK_STATUS},
	[LOCK_STATUS_ERROR] = {"gauge", "lock_status_error", 1, .attr = DPLL_A_LOCK_STATUS_ERROR},
	[TEMP] = {"temperature", NULL, DPLL_TEMP_DIVIDER, .attr = DPLL_A_TEMP, .sign = true},
	[DEVICE_MODE] = {"gauge", "mode", 1, .attr = DPLL_A_MODE, .slow = true},
};

static const struct quantity of_pin[] = {
	{"gauge", "fractional_frequency_offset", 1, .attr = DPLL_A_PIN_FRACTIONAL_FREQUENCY_OFFSET,
	 .sign = true},
	{"frequency", "pin", 1, .attr = DPLL_A_PIN_FREQUENCY, .slow = true},
	{"gauge", "phase_adjust", 1, .attr = DPLL_A_PIN_PHASE_ADJUST, .sign = true, .slow = true},
	{"frequency", "esync", 1, .attr = DPLL_A_PIN_ESYNC_FREQUENCY, .slow = true},
	{"percent", "esync_pulse", 1, .attr = DPLL_A_PIN_ESYNC_PULSE, .slow = true},
};

/* Of a pin on each device that it belongs to and each pin that it stands behind. */
enum { PIN_STATE, PHASE_OFFSET, OFFSET_THERE, DIRECTION, PRIO };
static const struct quantity of_parent[] = {
	[PIN_STATE] = {"gauge", "state", 1, .attr = DPLL_A_PIN_STATE},
	[PHASE_OFFSET] = {"gauge", "phase_offset", DPLL_PHASE_OFFSET_DIVIDER,
			  .attr = DPLL_A_PIN_PHASE_OFFSET, .sign = true},
	[OFFSET_THERE] = {"gauge", "fractional_frequency_offset", 1,
			  .attr = DPLL_A_PIN_FRACTIONAL_FREQUENCY_OFFSET, .sign = true},
	[DIRECTION] = {"gauge", "direction", 1, .attr = DPLL_A_PIN_DIRECTION, .slow = true},
	[PRIO] = {"gauge", "prio", 1, .attr = DPLL_A_PIN_PRIO, .slow = true},
};

struct values {
	unsigned known; /* a bit for each quantity */
	double v[QUANTITIES];
};

enum kind { DEVICE, PIN, KINDS };

/* Why an object that is known may not be there. */
enum doubt { SURE, CUT_OFF, DELETED };

struct object {
	enum kind kind;
	uint32_t id;       /* of the kernel's, another one after each reload of the module */
	uint64_t identity; /* a hash of what does not change */
	char label[LABEL_SIZE];
	size_t clock, name; /* where in the label the clock's part ends, and the name begins */
	uint32_t turn;      /* of its slow values */
	uint64_t seen;      /* number of the dump that had it last */
	enum doubt doubt;
	bool present, selected;
	bool missing;     /* it is there, but its driver does not answer */
	bool fresh, left; /* still to be told */
	bool changed;     /* slow values are due in the next reading */
	struct values values;
};

struct device {
	struct object o;
	uint32_t quality[QUALITIES];
	size_t nquality;
	uint64_t transitions[STATUSES]; /* into each lock status */
	bool lost_known;
	uint64_t lost_at; /* ns; 0: it is locked */
	bool source_known;
	char source[LABEL_SIZE]; /* of the pin; empty: none */
	const struct object *found;
};

struct parent {
	enum kind kind;
	uint32_t id;
	struct values values;
};

struct pin {
	struct object o;
	struct parent *parent;
	size_t nparent, room;
};

struct netdev { /* a link that has a pin */
	uint32_t pin;
	uint64_t seen;
};

struct state {
	struct nm_map ids[KINDS]; /* uint32_t -> struct object *: those that are present */
	struct nm_map labels;     /* label -> struct object *: also those that are gone */
	struct nm_map netdevs;    /* ifindex -> struct netdev */
	uint64_t dump;            /* number of the dump that runs or ran last */
	uint32_t turns;
	bool doubts, restated, moved; /* to be settled */
	bool waiting;                 /* pins that have come or gone are not told yet */
	uint64_t moved_at;
	struct parent *parents; /* of the message that is read */
	size_t parents_room;
	uint32_t *asked;
	size_t nasked, asked_room;
};

static void *find(const struct state *s, enum kind kind, uint32_t id)
{
	struct object **o = nm_map_get(&s->ids[kind], &id);

	return o ? *o : NULL;
}

/* The next of a map of objects, NULL: no more. */
static struct object *next(const struct nm_map *m, size_t *i)
{
	const void *key;
	struct object **o = nm_map_next(m, &key, i);

	return o ? *o : NULL;
}

static struct device *to_device(const struct object *o)
{
	return (struct device *)(uintptr_t)o;
}

static struct pin *to_pin(const struct object *o)
{
	return (struct pin *)(uintptr_t)o;
}

static int open_dpll(struct nm_view *v)
{
	struct state *s = v->state;

	for (enum kind k = 0; k < KINDS; k++)
		s->ids[k] =
			(struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct object *)};
	s->labels = (struct nm_map){.key = LABEL_SIZE, .val = sizeof(struct object *)};
	s->netdevs = (struct nm_map){.key = sizeof(uint32_t), .val = sizeof(struct netdev)};
	return 0;
}

static void free_object(struct object *o)
{
	if (o->kind == PIN)
		free(to_pin(o)->parent);
	free(o);
}

static void close_dpll(struct nm_view *v)
{
	struct state *s = v->state;
	struct object *o;

	for (size_t i = 0; (o = next(&s->labels, &i));)
		free_object(o);
	for (enum kind k = 0; k < KINDS; k++)
		nm_map_free(&s->ids[k]);
	nm_map_free(&s->labels);
	nm_map_free(&s->netdevs);
	free(s->parents);
	free(s->asked);
}

/* ---- quantities ----------------------------------------------------------------------- */

/* From the attributes of a message or of a nest. */
static struct values read_values(const struct quantity *q, size_t n,
				 const struct nlattr *const *attr, const struct nlattr *nest)
{
	struct values is = {0};

	for (size_t i = 0; i < n; i++) {
		const struct nlattr *a = attr ? attr[q[i].attr] : nm_in(nest, q[i].attr);

		if (!a)
			continue;
		is.known |= 1u << i;
		is.v[i] = (q[i].sign ? (double)nm_sint(a) : (double)nm_uint(a)) / q[i].unit;
	}
	return is;
}

static bool knows(const struct values *v, unsigned i)
{
	return v->known & 1u << i;
}

static bool differ(const struct values *a, const struct values *b, unsigned i)
{
	return knows(a, i) != knows(b, i) || a->v[i] != b->v[i];
}

static bool slow_differ(const struct quantity *q, size_t n, const struct values *a,
			const struct values *b)
{
	for (unsigned i = 0; i < n; i++)
		if (q[i].slow && differ(a, b, i))
			return true;
	return false;
}

#define WORD 24

/* The name of an enum's value, its number where there is no name. */
static const char *word(const struct nm_names *names, const struct values *v, unsigned i,
			char buf[static WORD])
{
	const char *name = v->v[i] <= UINT32_MAX ? nm_name(names, (uint32_t)v->v[i]) : NULL;

	if (!knows(v, i))
		return "unknown";
	if (name)
		return name;
	snprintf(buf, WORD, "%.0f", v->v[i]);
	return buf;
}

/* ---- labels ------------------------------------------------------------------------------ */

static const char *label_of_pin(const struct nm_msg *m)
{
	static const uint16_t labels[] = {DPLL_A_PIN_BOARD_LABEL, DPLL_A_PIN_PANEL_LABEL,
					  DPLL_A_PIN_PACKAGE_LABEL};

	for (size_t i = 0; i < NM_COUNT(labels); i++) {
		const char *label = nm_str(m->attr[labels[i]]);

		if (label && *label)
			return label;
	}
	return NULL;
}

/* FNV-1a: at each message it is seen that an id belongs to the same object as before. */
static uint64_t hash(uint64_t h, const void *from, size_t len)
{
	for (const uint8_t *p = from, *end = p + len; p < end; p++)
		h = (h ^ *p) * 0x100000001b3;
	return h;
}

static uint64_t identity_of(enum kind kind, const struct nm_msg *m)
{
	static const uint16_t device[] = {DPLL_A_MODULE_NAME, DPLL_A_CLOCK_ID, DPLL_A_TYPE};
	static const uint16_t pin[] = {DPLL_A_PIN_MODULE_NAME, DPLL_A_PIN_CLOCK_ID,
				       DPLL_A_PIN_TYPE};
	const char *label = kind == PIN ? label_of_pin(m) : NULL;
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < NM_COUNT(device); i++) {
		const struct nlattr *a = m->attr[kind == PIN ? pin[i] : device[i]];

		if (a)
			h = hash(h, mnl_attr_get_payload(a), mnl_attr_get_payload_len(a));
	}
	return label ? hash(h, label, strlen(label)) : h;
}

/* Labels may hold any byte; collectd's identifiers hold no "/". */
static void tidy(char *label)
{
	for (; *label; label++)
		if ((unsigned char)*label < ' ' || *label == '/' || *label == 0x7f)
			*label = '_';
}

/* Bytes of a name that is not too long, and does not end within a character of UTF-8. */
static int whole_characters(const char *name)
{
	size_t len = strnlen(name, NAME_LENGTH + 1);

	if (len <= NAME_LENGTH)
		return (int)len;
	for (len = NAME_LENGTH; len && ((unsigned char)name[len] & 0xc0) == 0x80;)
		len--;
	return (int)len;
}

/* "ice-50c6fffffe1fb16c-eec", "ice-50c6fffffe1fb16c-pin-GNSS": without what would make it unique. */
static void make_label(struct object *o, const struct nm_msg *m)
{
	bool pin = o->kind == PIN;
	const char *module = nm_str(m->attr[pin ? DPLL_A_PIN_MODULE_NAME : DPLL_A_MODULE_NAME]);
	const char *label = pin ? label_of_pin(m) : NULL;
	uint32_t type = (uint32_t)nm_uint(m->attr[pin ? DPLL_A_PIN_TYPE : DPLL_A_TYPE]);
	const char *name = label ? label : nm_name(pin ? &nm_DPLL_PIN_TYPE : &nm_DPLL_TYPE, type);
	char number[WORD];

	snprintf(number, sizeof(number), "type%u", type);
	name = name ? name : number;
	memset(o->label, 0, sizeof(o->label)); /* it is a key: all bytes count */
	o->clock = (size_t)snprintf(o->label, sizeof(o->label), "%.32s-%016" PRIx64 "-",
				    module ? module : "unknown",
				    nm_uint(m->attr[pin ? DPLL_A_PIN_CLOCK_ID : DPLL_A_CLOCK_ID]));
	o->name = o->clock + (pin ? strlen("pin-") : 0);
	snprintf(o->label + o->clock, sizeof(o->label) - o->clock, "%s%.*s", pin ? "pin-" : "",
		 whole_characters(name), name);
	tidy(o->label);
}

/* How a pin's values and notices name what it stands behind; NULL: not known (yet). */
static const char *parent_name(const struct state *s, const struct object *pin,
			       const struct parent *p)
{
	const struct object *o = find(s, p->kind, p->id);

	if (!o)
		return NULL;
	return o->clock == pin->clock && !strncmp(o->label, pin->label, o->clock) ?
		       o->label + o->clock :
		       o->label;
}

/* ---- who is told ------------------------------------------------------------------------ */

/* A notice, NULL when nobody wants it.  old and new may be NULL. */
static struct nm_notice *tell(struct nm_view *v, const struct object *o, unsigned what,
			      enum nm_severity severity, const char *old, const char *new)
{
	const struct config *c = v->config;
	struct nm_notice *n;

	if (!v->news || !o->selected || !(c->notify & what))
		return NULL;
	n = nm_notify(v, severity, nm_name(&notices, what), o->label);
	nm_change(n, old, new);
	return n;
}

static void add_netdev(const struct nm_view *v, struct nm_notice *n, uint32_t pin)
{
	const struct state *s = v->state;
	const struct netdev *d;
	const void *key;

	for (size_t i = 0; n && (d = nm_map_next(&s->netdevs, &key, &i));) {
		const char *name = d->pin == pin ? nm_ifname(v, *(const uint32_t *)key) : NULL;

		if (name)
			nm_meta(n, "netdev", "%s", name);
	}
}

static unsigned lock_status(const struct values *v)
{
	return knows(v, LOCK_STATUS) && v->v[LOCK_STATUS] <= UINT32_MAX ?
		       (unsigned)v->v[LOCK_STATUS] :
		       0;
}

static bool is_locked(unsigned status)
{
	return status == DPLL_LOCK_STATUS_LOCKED || status == DPLL_LOCK_STATUS_LOCKED_HO_ACQ;
}

static bool is_lost(unsigned status)
{
	return status == DPLL_LOCK_STATUS_UNLOCKED || status == DPLL_LOCK_STATUS_HOLDOVER;
}

static void tell_lock(struct nm_view *v, const struct device *d, const char *old)
{
	const struct values *is = &d->o.values;
	unsigned status = lock_status(is);
	char now[WORD], error[WORD];
	struct nm_notice *n = tell(v, &d->o, LOCK,
				   is_locked(status) ? NM_OKAY :
				   is_lost(status)   ? NM_FAILURE :
						       NM_WARNING,
				   old, word(&nm_DPLL_LOCK_STATUS, is, LOCK_STATUS, now));
	bool has_error = is->v[LOCK_STATUS_ERROR] > DPLL_LOCK_STATUS_ERROR_NONE;

	if (!n)
		return;
	if (has_error)
		nm_meta(n, "error", "%s",
			word(&nm_DPLL_LOCK_STATUS_ERROR, is, LOCK_STATUS_ERROR, error));
	if (*d->source)
		nm_meta(n, "source", "%.63s", d->source);
	nm_say(n, "DPLL %s: the lock status %s%s%sis %s%s%s", d->o.label, old ? "was " : "",
	       old ? old : "", old ? " and " : "", word(&nm_DPLL_LOCK_STATUS, is, LOCK_STATUS, now),
	       has_error ? ", because of " : "",
	       has_error ? word(&nm_DPLL_LOCK_STATUS_ERROR, is, LOCK_STATUS_ERROR, error) : "");
}

static void tell_state(struct nm_view *v, const struct pin *p, const struct parent *was,
		       const struct parent *is)
{
	const struct state *s = v->state;
	const char *parent = parent_name(s, &p->o, is);
	const struct device *d = is->kind == DEVICE ? find(s, DEVICE, is->id) : NULL;
	double new = is->values.v[PIN_STATE];
	bool good = new == DPLL_PIN_STATE_CONNECTED ||
		    (new == DPLL_PIN_STATE_SELECTABLE &&
		     was->values.v[PIN_STATE] == DPLL_PIN_STATE_DISCONNECTED);
	const char *old_word, *new_word;
	char a[WORD], b[WORD];
	struct nm_notice *n;

	if (!parent || (d && !d->o.selected))
		return;
	old_word = word(&nm_DPLL_PIN_STATE, &was->values, PIN_STATE, a);
	new_word = word(&nm_DPLL_PIN_STATE, &is->values, PIN_STATE, b);
	n = tell(v, &p->o, STATE, good ? NM_OKAY : NM_WARNING, old_word, new_word);
	nm_meta(n, "parent", "%.63s", parent);
	add_netdev(v, n, p->o.id);
	nm_say(n, "DPLL %s: the state on %s was %s and is %s", p->o.label, parent, old_word,
	       new_word);
}

/* ---- objects: devices and pins ------------------------------------------------------------ */

/* It is not there any more.  Who is gone and back before that was told was never away. */
static void leave(struct nm_view *v, struct object *o)
{
	struct state *s = v->state;

	nm_map_del(&s->ids[o->kind], &o->id);
	o->present = o->missing = false;
	o->doubt = SURE;
	o->left = v->news && !o->fresh;
	o->fresh = false;
	s->moved = s->restated = true;
	s->moved_at = v->now;
	if (o->kind == DEVICE) {
		struct device *d = to_device(o);

		if (d->lost_known && !d->lost_at)
			d->lost_at = v->now;
		d->source_known = false;
		*d->source = 0;
	}
}

/* The object with this label, that nobody has now; the second one of a label is "label-2". */
static struct object *claim(struct nm_view *v, struct object *like)
{
	struct state *s = v->state;
	size_t len = strlen(like->label);
	struct object **slot, *o;

	for (unsigned n = 2;; n++) {
		slot = nm_map_put(&s->labels, like->label, NULL);
		if (!slot)
			return NULL;
		o = *slot;
		if (o && o->present && o->doubt == DELETED)
			leave(v, o);
		if (!o || !o->present)
			break;
		memset(like->label + len, 0, sizeof(like->label) - len);
		snprintf(like->label + len, sizeof(like->label) - len, "-%u", n);
	}
	if (!o) {
		o = calloc(1, like->kind == PIN ? sizeof(struct pin) : sizeof(struct device));
		if (!o) {
			nm_map_del(&s->labels, like->label);
			return NULL;
		}
		*o = *like;
		*slot = o;
	}
	return o;
}

static int add_object(struct nm_view *v, enum kind kind, uint32_t id, uint64_t identity,
		      const struct nm_msg *m, struct object **out)
{
	const struct config *c = v->config;
	struct state *s = v->state;
	struct object like = {.kind = kind}, *o, **slot;

	make_label(&like, m);
	o = claim(v, &like);
	slot = o ? nm_map_put(&s->ids[kind], &id, NULL) : NULL;
	if (!slot)
		return -ENOMEM;
	*slot = o;
	o->id = id;
	o->identity = identity;
	o->turn = ++s->turns;
	o->selected = kind == PIN ? nm_selected(&c->pins, o->label + o->name) :
				    nm_selected(&c->devices, o->label);
	o->fresh = v->news && !o->left;
	o->left = false;
	o->present = o->changed = true;
	s->moved = true;
	s->moved_at = v->now;
	*out = o;
	return 0;
}

/* The object that a message is about; NULL: none that must be looked at further. */
static int take_object(struct nm_view *v, enum kind kind, const struct nm_msg *m,
		       struct object **out)
{
	const struct nlattr *a = m->attr[kind == PIN ? DPLL_A_PIN_ID : DPLL_A_ID];
	uint32_t id = (uint32_t)nm_uint(a);
	struct state *s = v->state;
	struct object *o = find(s, kind, id);
	uint64_t identity;
	int err = 0;

	*out = NULL;
	if (!a)
		return 0;
	if (m->gone) { /* perhaps from one device of several: it is asked for when all is told */
		if (o)
			o->doubt = DELETED;
		s->doubts |= o != NULL;
		return 0;
	}
	identity = identity_of(kind, m);
	if (o && o->identity != identity) {
		leave(v, o);
		o = NULL;
	}
	if (!o)
		err = add_object(v, kind, id, identity, m, &o);
	if (err)
		return err;
	o->seen = s->dump;
	o->doubt = SURE;
	o->missing = false;
	*out = o;
	return 0;
}

/* ---- devices ------------------------------------------------------------------------------- */

static void take_lock(struct nm_view *v, struct device *d, const struct values *was)
{
	unsigned from = lock_status(was), to = lock_status(&d->o.values);
	char buf[WORD];

	if (from && to && from != to) {
		d->transitions[to < STATUSES ? to : 0]++;
		d->o.changed = true;
	}
	if (is_locked(to))
		d->lost_at = 0;
	else if (is_locked(from) && !d->lost_at)
		d->lost_at = v->now;
	/* In a status that is not known here, or lost before we looked, since when is not known. */
	d->lost_known = is_locked(to) || (is_lost(to) && d->lost_known);
	if (d->o.fresh && !is_locked(to))
		tell_lock(v, d, NULL);
	else if (!d->o.fresh && to && from != to)
		tell_lock(v, d, word(&nm_DPLL_LOCK_STATUS, was, LOCK_STATUS, buf));
}

/* Several at once: of different standards (DPLL_A_CLOCK_QUALITY_LEVEL may repeat). */
static void take_quality(struct device *d, const struct nm_msg *m)
{
	uint32_t is[QUALITIES] = {0};
	size_t n = 0;

	for (const struct nlattr *a = nm_attr(m, NULL); a && n < QUALITIES; a = nm_attr(m, a))
		if (nm_type(a) == DPLL_A_CLOCK_QUALITY_LEVEL)
			is[n++] = (uint32_t)nm_uint(a);
	d->o.changed |= n != d->nquality || memcmp(is, d->quality, sizeof(is)) != 0;
	d->nquality = n;
	memcpy(d->quality, is, sizeof(is));
}

static int on_device(struct nm_view *v, const struct nm_msg *m)
{
	char old[WORD], new[WORD];
	const char *a, *b;
	struct values was;
	struct object *o;
	int err = take_object(v, DEVICE, m, &o);

	if (err || !o)
		return err;
	was = o->values;
	o->values = read_values(NM_ARRAY(of_device), m->attr, NULL);
	o->changed |= slow_differ(NM_ARRAY(of_device), &was, &o->values);
	take_quality(to_device(o), m);
	take_lock(v, to_device(o), &was);
	if (knows(&was, DEVICE_MODE) && knows(&o->values, DEVICE_MODE) &&
	    differ(&was, &o->values, DEVICE_MODE)) {
		a = word(&nm_DPLL_MODE, &was, DEVICE_MODE, old);
		b = word(&nm_DPLL_MODE, &o->values, DEVICE_MODE, new);
		nm_say(tell(v, o, MODE, NM_WARNING, a, b), "DPLL %s: the mode was %s and is %s",
		       o->label, a, b);
	}
	return 0;
}

/* ---- pins ------------------------------------------------------------------------------------ */

/* The array with room for want elements, NULL: no memory, it is as it was. */
static void *room(void *p, size_t *have, size_t want, size_t size)
{
	size_t more = want + want / 2 + 4;

	if (want <= *have)
		return p;
	p = reallocarray(p, more, size);
	if (p)
		*have = more;
	return p;
}

/* Into s->parents. */
static int read_parents(struct state *s, const struct nm_msg *m, size_t *n)
{
	*n = 0;
	for (const struct nlattr *a = nm_attr(m, NULL); a; a = nm_attr(m, a)) {
		uint16_t type = nm_type(a);
		struct parent *p;

		if ((type != DPLL_A_PIN_PARENT_DEVICE && type != DPLL_A_PIN_PARENT_PIN) ||
		    !nm_in(a, DPLL_A_PIN_PARENT_ID))
			continue;
		p = room(s->parents, &s->parents_room, *n + 1, sizeof(*p));
		if (!p)
			return -ENOMEM;
		s->parents = p;
		p[(*n)++] = (struct parent){
			.kind = type == DPLL_A_PIN_PARENT_PIN ? PIN : DEVICE,
			.id = (uint32_t)nm_uint(nm_in(a, DPLL_A_PIN_PARENT_ID)),
			.values = read_values(NM_ARRAY(of_parent), NULL, a),
		};
	}
	return 0;
}

/* They come in the same order each time, but where some have come or gone. */
static const struct parent *same_parent(const struct parent *of, const struct parent *list,
					size_t n, size_t i)
{
	if (i < n && list[i].id == of->id && list[i].kind == of->kind)
		return &list[i];
	for (i = 0; i < n; i++)
		if (list[i].id == of->id && list[i].kind == of->kind)
			return &list[i];
	return NULL;
}

static int take_parents(struct nm_view *v, struct pin *p, const struct nm_msg *m)
{
	struct state *s = v->state;
	struct parent *more;
	size_t n;
	int err = read_parents(s, m, &n);

	more = err ? NULL : room(p->parent, &p->room, n, sizeof(*more));
	if (!more && n)
		return -ENOMEM;
	p->parent = more;
	for (size_t i = 0; i < n; i++) {
		const struct parent *is = &s->parents[i],
				    *was = same_parent(is, p->parent, p->nparent, i);

		p->o.changed |= !was || slow_differ(NM_ARRAY(of_parent), &was->values, &is->values);
		s->restated |= !was || differ(&was->values, &is->values, PIN_STATE) ||
			       differ(&was->values, &is->values, DIRECTION);
		if (was && !p->o.fresh && differ(&was->values, &is->values, PIN_STATE))
			tell_state(v, p, was, is);
	}
	s->restated |= n != p->nparent;
	if (n)
		memcpy(p->parent, s->parents, n * sizeof(*p->parent));
	p->nparent = n;
	return 0;
}

static int on_pin(struct nm_view *v, const struct nm_msg *m)
{
	struct values was;
	struct object *o;
	int err = take_object(v, PIN, m, &o);

	if (err || !o)
		return err;
	was = o->values;
	o->values = read_values(NM_ARRAY(of_pin), m->attr, NULL);
	o->changed |= slow_differ(NM_ARRAY(of_pin), &was, &o->values);
	return take_parents(v, to_pin(o), m);
}

/* ---- network devices that have a pin ------------------------------------------------------- */

static void pin_changed(const struct state *s, uint32_t id)
{
	struct object *o = find(s, PIN, id);

	if (o)
		o->changed = true;
}

static int on_link(struct nm_view *v, const struct nm_msg *m)
{
	const struct ifinfomsg *h = m->hdr;
	struct state *s = v->state;
	uint32_t index = (uint32_t)h->ifi_index;
	const struct nlattr *pin = nm_in(m->attr[IFLA_DPLL_PIN], DPLL_A_PIN_ID);
	struct netdev *d = nm_map_get(&s->netdevs, &index);
	uint32_t id = (uint32_t)nm_uint(pin);

	if (m->gone || !pin) { /* an ordinary link has the nest too, empty */
		if (d)
			nm_map_del(&s->netdevs, &index);
		return 0;
	}
	if (!d || d->pin != id)
		pin_changed(s, id);
	d = nm_map_put(&s->netdevs, &index, NULL);
	if (!d)
		return -ENOMEM;
	*d = (struct netdev){.pin = id, .seen = s->dump};
	return 0;
}

static int message_dpll(struct nm_view *v, const struct nm_msg *m)
{
	static int (*const on[])(struct nm_view * v, const struct nm_msg *m) = {
		[LINKS] = on_link,
		[DEVICES] = on_device,
		[PINS] = on_pin,
	};

	return on[m->src - sources](v, m);
}

/* ---- the source of a device: the input that is connected ----------------------------------- */

static bool is_input(const struct parent *p)
{
	return p->kind == DEVICE && p->values.v[DIRECTION] != DPLL_PIN_DIRECTION_OUTPUT;
}

static bool precedes(const struct device *d, const struct object *a, const struct object *b)
{
	bool was = !strcmp(a->label + a->name, d->source);

	return !b || was || (strcmp(b->label + b->name, d->source) != 0 && a->id < b->id);
}

static void look_for_sources(const struct state *s)
{
	struct object *o;

	for (size_t i = 0; (o = next(&s->ids[DEVICE], &i));)
		to_device(o)->found = NULL;
	for (size_t i = 0; (o = next(&s->ids[PIN], &i));) {
		const struct pin *p = to_pin(o);

		for (size_t k = 0; k < p->nparent && !o->missing; k++) {
			const struct parent *on = &p->parent[k];
			struct device *d = is_input(on) ? find(s, DEVICE, on->id) : NULL;

			if (d && on->values.v[PIN_STATE] == DPLL_PIN_STATE_CONNECTED &&
			    precedes(d, o, d->found))
				d->found = o;
		}
	}
}

static void take_source(struct nm_view *v, struct device *d)
{
	const char *is = d->found ? d->found->label + d->found->name : "";
	const char *old = *d->source ? d->source : "none", *new = *is ? is : "none";
	struct nm_notice *n;

	if (d->source_known && strcmp(is, d->source)) {
		n = tell(v, &d->o, SOURCE, *d->source || !*is ? NM_WARNING : NM_OKAY, old, new);
		nm_say(n, "DPLL %s: the source was %s and is %s", d->o.label, old, new);
		if (d->found)
			add_netdev(v, n, d->found->id);
	}
	d->source_known = true;
	snprintf(d->source, sizeof(d->source), "%s", is);
}

static void take_sources(struct nm_view *v)
{
	struct state *s = v->state;
	struct object *o;

	look_for_sources(s);
	for (size_t i = 0; (o = next(&s->ids[DEVICE], &i));)
		if (!o->missing)
			take_source(v, to_device(o));
	s->restated = false;
}

/* ---- what events leave open ------------------------------------------------------------------ */

/* Asking changes the maps: first all ids, then the questions. */
static int remember(struct state *s, uint32_t id)
{
	uint32_t *p = room(s->asked, &s->asked_room, s->nasked + 1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	s->asked = p;
	p[s->nasked++] = id;
	return 0;
}

/* An object that was deleted, or was not in a dump that broke off. */
static void settle_doubt(struct nm_view *v, enum kind kind, uint32_t id, int err)
{
	struct state *s = v->state;
	struct object *o = find(s, kind, id);

	if (!o || o->doubt == SURE)
		return;
	if (err == -ENODEV || err == -ENOENT || (err == -EAGAIN && o->doubt == DELETED)) {
		leave(v, o);
		return;
	}
	o->missing = true;
	o->doubt = SURE;
}

static int ask_doubtful(struct nm_view *v, enum kind kind)
{
	const struct nm_source *src = &sources[kind == PIN ? PINS : DEVICES];
	struct state *s = v->state;
	struct object *o;
	int err = 0;

	s->nasked = 0;
	for (size_t i = 0; !err && (o = next(&s->ids[kind], &i));)
		if (o->doubt != SURE)
			err = remember(s, o->id);
	for (size_t i = 0; !err && i < s->nasked; i++) {
		uint32_t id = s->asked[i];

		err = nm_ask(v, src, &id);
		settle_doubt(v, kind, id, err);
		err = err == -ENOMEM ? err : 0;
	}
	return err;
}

/*
 * A device goes from one input to another, and the kernel tells of the pins one
 * by one: when the old one is told of, the new one is already what it says it is.
 */
static int ask_for_sources(struct nm_view *v)
{
	struct state *s = v->state;
	struct object *o;
	int err = 0;

	look_for_sources(s);
	s->nasked = 0;
	for (size_t i = 0; !err && (o = next(&s->ids[PIN], &i));) {
		const struct pin *p = to_pin(o);

		for (size_t k = 0; k < p->nparent; k++) {
			const struct device *d =
				is_input(&p->parent[k]) ? find(s, DEVICE, p->parent[k].id) : NULL;

			if (d && *d->source && !d->found) {
				err = remember(s, o->id);
				break;
			}
		}
	}
	for (size_t i = 0; !err && i < s->nasked; i++)
		err = nm_ask(v, &sources[PINS], &s->asked[i]) == -ENOMEM ? -ENOMEM : 0;
	return err;
}

/* Pins of one clock that come or go together are told together. */
static void tell_pins(struct nm_view *v, struct object *first, bool left)
{
	const struct state *s = v->state;
	char names[128] = "", clock[LABEL_SIZE];
	size_t n = 0, used = 0;
	bool cut = false;
	struct nm_notice *note;
	struct object *o;

	for (size_t i = 0; (o = next(&s->labels, &i));) {
		bool *due = left ? &o->left : &o->fresh;

		if (o->kind != PIN || !*due || o->clock != first->clock ||
		    strncmp(o->label, first->label, o->clock) != 0)
			continue;
		*due = false;
		if (!o->selected)
			continue;
		cut = cut || used + strlen(o->label + o->name) + sizeof(", ") > sizeof(names);
		if (!cut)
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
						 n ? ", " : "", o->label + o->name);
		n++;
	}
	if (!n)
		return;
	snprintf(clock, sizeof(clock), "%.*s", (int)first->clock - 1, first->label);
	note = tell(v, first, GONE, left ? NM_WARNING : NM_OKAY, left ? "present" : "gone",
		    left ? "gone" : "present");
	if (note && n > 1)
		snprintf(note->instance, sizeof(note->instance), "%s", clock);
	nm_meta(note, "pins", "%zu", n);
	if (n > 1)
		nm_say(note, "DPLL %s: %zu pins %s: %s%s", clock, n,
		       left ? "are gone" : "have come", names, cut ? " ..." : "");
	else
		nm_say(note, "DPLL %s: pin %s %s", clock, names, left ? "is gone" : "has come");
}

static void tell_device(struct nm_view *v, struct object *o, bool left)
{
	nm_say(tell(v, o, GONE, left ? NM_FAILURE : NM_OKAY, left ? "present" : "gone",
		    left ? "gone" : "present"),
	       "DPLL %s %s", o->label, left ? "is gone" : "has come");
	o->left = o->fresh = false;
}

static void tell_comings(struct nm_view *v, enum kind kind)
{
	const struct state *s = v->state;
	struct object *o;

	for (size_t i = 0; (o = next(&s->labels, &i));) {
		if (o->kind != kind || (!o->left && !o->fresh))
			continue;
		if (kind == DEVICE)
			tell_device(v, o, o->left);
		else if (o->selected)
			tell_pins(v, o, o->left);
		o->left = o->fresh = false;
	}
}

/* A device is remembered for its counters, unless ever others come and go. */
static void forget(struct state *s)
{
	size_t present = s->ids[DEVICE].used + s->ids[PIN].used;
	struct object *o;

	for (size_t i = 0; (o = next(&s->labels, &i));)
		if (!o->present && (o->kind == PIN || s->labels.used > present + REMEMBERED)) {
			nm_map_del(&s->labels, o->label);
			free_object(o);
			i--;
		}
}

/*
 * A device that comes or goes is told at once.  Its pins follow or precede it one
 * by one, each with several events: when no more of them move, they are told together.
 */
static void settle_comings(struct nm_view *v, bool now)
{
	struct state *s = v->state;

	if (s->moved) {
		tell_comings(v, DEVICE);
		if (v->news) /* a link is given its pin without an event (dpll_netdev_pin_set()) */
			nm_distrust(v, &sources[LINKS]);
		s->waiting = true;
	}
	s->moved = false;
	v->due = 0;
	if (s->waiting && !now && v->now - s->moved_at < QUIET) {
		v->due = s->moved_at + QUIET;
	} else if (s->waiting) {
		tell_comings(v, PIN);
		forget(s);
		s->waiting = false;
	}
}

static int settle(struct nm_view *v, bool now)
{
	struct state *s = v->state;
	int err = 0;

	for (enum kind k = 0; s->doubts && !err && k < KINDS; k++)
		err = ask_doubtful(v, k);
	if (err)
		return err;
	s->doubts = false;
	if (s->restated) {
		err = ask_for_sources(v);
		if (err)
			return err;
		take_sources(v);
	}
	settle_comings(v, now);
	return 0;
}

static int settle_dpll(struct nm_view *v)
{
	return settle(v, false);
}

/* ---- dumps -------------------------------------------------------------------------------------- */

static void begin_dpll(struct nm_view *v, const struct nm_source *src)
{
	struct state *s = v->state;

	(void)src;
	s->dump++;
}

static void sweep_netdevs(struct state *s)
{
	const struct netdev *d;
	const void *key;

	for (size_t i = 0; (d = nm_map_next(&s->netdevs, &key, &i));)
		if (d->seen != s->dump) {
			uint32_t index = *(const uint32_t *)key;

			nm_map_del(&s->netdevs, &index);
			i--;
		}
}

/* What a whole dump did not have is gone; what one that broke off did not have is asked for. */
static void end_dpll(struct nm_view *v, const struct nm_source *src, bool complete)
{
	enum kind kind = src == &sources[PINS] ? PIN : DEVICE;
	struct state *s = v->state;
	struct object *o;

	if (src == &sources[LINKS]) {
		if (complete)
			sweep_netdevs(s);
		return;
	}
	for (size_t i = 0; (o = next(&s->ids[kind], &i));) {
		if (o->seen == s->dump)
			continue;
		if (complete) {
			leave(v, o);
			i--;
		} else if (o->doubt == SURE) {
			o->doubt = CUT_OFF;
			s->doubts = true;
		}
	}
	if (kind == PIN && !v->news) { /* what is so at the start is no news, what follows is */
		take_sources(v);
		s->moved = false;
	}
}

/* ---- what is submitted ---------------------------------------------------------------------- */

static void submit_values(struct nm_reading *r, const struct quantity *q, size_t n,
			  const struct values *v, bool slow, const char *parent)
{
	char name[LABEL_SIZE];

	for (unsigned i = 0; i < n; i++) {
		if (q[i].slow != slow || !knows(v, i))
			continue;
		if (parent)
			snprintf(name, sizeof(name), "%s_%s", q[i].name, parent);
		nm_gauge(r, q[i].type, parent ? nm_text(r, name) : q[i].name, v->v[i]);
	}
}

static bool slow_due(const struct nm_view *v, const struct object *o)
{
	return o->changed || nm_slow_due(v, o->turn);
}

static void submit_device(const struct nm_view *v, struct nm_reading *r, const struct device *d)
{
	static const char *const quality[QUALITIES] = {"quality_level", "quality_level_2",
						       "quality_level_3", "quality_level_4"};
	const struct values *is = &d->o.values;

	nm_instance(r, d->o.label);
	submit_values(r, NM_ARRAY(of_device), is, false, NULL);
	if (d->lost_known)
		nm_gauge(r, "duration", "holdover",
			 d->lost_at ? (double)(v->now - d->lost_at) / NS_PER_S : 0);
	if (!slow_due(v, &d->o))
		return;
	nm_slow(r, true);
	submit_values(r, NM_ARRAY(of_device), is, true, NULL);
	for (size_t i = 0; i < d->nquality; i++)
		nm_gauge(r, "gauge", quality[i], d->quality[i]);
	for (unsigned i = 1; i < STATUSES; i++)
		nm_derive(r, "transitions", nm_name(&nm_DPLL_LOCK_STATUS, i), d->transitions[i]);
	if (d->transitions[0])
		nm_derive(r, "transitions", "other", d->transitions[0]);
	nm_slow(r, false);
}

static void submit_parents(const struct state *s, struct nm_reading *r, const struct pin *p,
			   bool slow)
{
	for (size_t i = 0; i < p->nparent; i++) {
		const struct parent *on = &p->parent[i];
		const struct object *o = find(s, on->kind, on->id);

		if (o && (o->selected || o->kind == PIN))
			submit_values(r, NM_ARRAY(of_parent), &on->values, slow,
				      parent_name(s, &p->o, on));
	}
}

static void submit_pin(const struct nm_view *v, struct nm_reading *r, const struct pin *p)
{
	const struct state *s = v->state;

	nm_instance(r, p->o.label);
	submit_values(r, NM_ARRAY(of_pin), &p->o.values, false, NULL);
	submit_parents(s, r, p, false);
	if (!slow_due(v, &p->o))
		return;
	nm_slow(r, true);
	submit_values(r, NM_ARRAY(of_pin), &p->o.values, true, NULL);
	submit_parents(s, r, p, true);
	nm_slow(r, false);
}

static bool reported(const struct object *o)
{
	return o->selected && !o->missing;
}

/* What a pin belongs to has a name and no number: bool-netdev_eth0. */
static void submit_netdevs(const struct nm_view *v, struct nm_reading *r)
{
	const struct state *s = v->state;
	const struct netdev *d;
	const void *key;
	char name[LABEL_SIZE];

	nm_slow(r, true);
	for (size_t i = 0; (d = nm_map_next(&s->netdevs, &key, &i));) {
		const struct object *o = find(s, PIN, d->pin);
		const char *ifname = nm_ifname(v, *(const uint32_t *)key);

		if (!o || !ifname || !reported(o) || !slow_due(v, o))
			continue;
		snprintf(name, sizeof(name), "netdev_%s", ifname);
		nm_instance(r, o->label);
		nm_gauge(r, "bool", nm_text(r, name), 1);
	}
	nm_slow(r, false);
}

/* How many there are; of a list that breaks off at least one is missing, whoever it is. */
static void submit_counts(const struct nm_view *v, struct nm_reading *r)
{
	static const struct {
		enum kind kind;
		size_t source;
		const char *there, *missing;
	} row[] = {
		{DEVICE, DEVICES, "devices", "devices_missing"},
		{PIN, PINS, "pins", "pins_missing"},
	};
	const struct state *s = v->state;

	nm_instance(r, "total");
	for (size_t k = 0; k < NM_COUNT(row); k++) {
		const struct nm_map *ids = &s->ids[row[k].kind];
		const struct object *o;
		size_t missing = 0;

		for (size_t i = 0; (o = next(ids, &i));)
			missing += o->missing;
		nm_gauge(r, "gauge", row[k].there, (double)(ids->used - missing));
		if (!missing && nm_source_cut(v, row[k].source))
			missing = 1;
		nm_gauge(r, "gauge", row[k].missing, (double)missing);
	}
}

static int submit_dpll(struct nm_view *v, struct nm_reading *r)
{
	struct state *s = v->state;
	struct object *o;
	int err = settle(v, !v->due); /* in a recording nothing was settled before, nor will be */

	if (err)
		return err;
	for (size_t i = 0; (o = next(&s->ids[DEVICE], &i));)
		if (reported(o))
			submit_device(v, r, to_device(o));
	for (size_t i = 0; (o = next(&s->ids[PIN], &i));)
		if (reported(o))
			submit_pin(v, r, to_pin(o));
	submit_netdevs(v, r);
	submit_counts(v, r);
	for (enum kind k = 0; k < KINDS; k++)
		for (size_t i = 0; (o = next(&s->ids[k], &i));)
			o->changed = false;
	nm_distrust(v, &sources[DEVICES]);
	nm_distrust(v, &sources[PINS]);
	if (s->ids[PIN].used && nm_slow_due(v, 0))
		nm_distrust(v, &sources[LINKS]);
	return 0;
}

const struct nm_plugin netmon_dpll = {
	.name = "netmon_dpll",
	.graph = "dpll",
	.source = sources,
	.nsource = NM_COUNT(sources),
	.option = options,
	.noption = NM_COUNT(options),
	.defaults = &defaults,
	.config_size = sizeof(struct config),
	.state_size = sizeof(struct state),
	.open = open_dpll,
	.begin = begin_dpll,
	.message = message_dpll,
	.end = end_dpll,
	.settle = settle_dpll,
	.submit = submit_dpll,
	.close = close_dpll,
};
