// SPDX-License-Identifier: MIT
/*
 * dpllsim: DPLL devices and pins without hardware, for the tests; a driver of the kernel's own DPLL
 * subsystem whose values are what it was told.
 *
 * /sys/kernel/debug/dpllsim takes one command a write, and reads back every value:
 *
 *   dev D FIELD VALUE        a device's value, then its change notification
 *   pin P D FIELD VALUE      a pin's value on device D (its own: D is 0), then its notification
 *   quiet dev|pin ...        the same without a notification
 *   switch D A B             device D goes from input A to input B; then A and B are told
 *   devdel D, devadd D       unregisters the device and its pins, registers it again
 *   pindel P, pinadd P       the same of one pin
 *   pinoff P D, pinon P D    the same on one device alone
 *   netdev N P               network device N has pin P; -1: none
 *
 * "fail" as a VALUE makes the getter return -EIO.
 */
#include <linux/debugfs.h>
#include <linux/dpll.h>
#include <linux/etherdevice.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

static unsigned long long clock_id = 0x5051f0fffe4e4d00ULL;
module_param(clock_id, ullong, 0444);
static uint extra;
module_param(extra, uint, 0444);
MODULE_PARM_DESC(extra, "further inputs of device 0");
static bool twin;
module_param(twin, bool, 0444);
MODULE_PARM_DESC(twin, "a third device, of the first one's type");
static bool minimal;
module_param(minimal, bool, 0444);
MODULE_PARM_DESC(minimal, "only the getters that the kernel insists on");

#define FAIL  S64_MIN
#define NDEV  3
#define NNET  2
#define FIRST_RCLK 5 /* the pins of the network devices */

enum { MODE, LOCK, LOCK_ERROR, TEMP, DEV_FIELDS };
static const char *const dev_field[] = { "mode", "lock_status", "lock_status_error", "temp" };

/* Of the pin itself, then of the pin on each device. */
enum {
	FREQUENCY, ADJUST, FFO, ESYNC, PULSE, ON_PARENT,
	DIRECTION, PRIO, STATE, OFFSET, PIN_FIELDS,
};
static const char *const pin_field[] = {
	"frequency", "phase_adjust", "ffo", "esync", "pulse", "on_parent",
	"direction", "prio", "state", "phase_offset",
};

struct dev {
	struct dpll_device *dpll;
	bool on;
	s64 v[DEV_FIELDS];
};

struct pin {
	struct dpll_pin *pin;
	u8 devs; /* those that it belongs to, a bit each */
	u8 on;   /* those that it is registered with */
	s8 parent; /* the number of the pin above it, or -1 */
	bool on_parent;
	char label[16];
	struct dpll_pin_properties prop;
	s64 v[NDEV][PIN_FIELDS];
};

static struct dev devs[NDEV];
static uint ndevs;
static struct pin *pins;
static uint npins;
static struct net_device *nets[NNET];
static struct dentry *control;
static DEFINE_MUTEX(lock);

/* ---- getters ---------------------------------------------------------------- */

#define GET(from, to)                                                                              \
	({                                                                                         \
		s64 v_ = READ_ONCE(*(from));                                                       \
		if (v_ != FAIL)                                                                    \
			*(to) = v_;                                                                \
		v_ == FAIL ? -EIO : 0;                                                             \
	})
#define DEV_ARGS const struct dpll_device *d, void *dev
#define PIN_ARGS const struct dpll_pin *p, void *pin, DEV_ARGS
#define ACK struct netlink_ext_ack *ack

static s64 *dev_value(void *dev, uint field)
{
	return &((struct dev *)dev)->v[field];
}

static s64 *pin_value(void *pin, void *dev, uint field)
{
	return &((struct pin *)pin)->v[dev && field >= DIRECTION ? (struct dev *)dev - devs : 0][field];
}

static int mode_get(DEV_ARGS, enum dpll_mode *to, ACK)
{
	return GET(dev_value(dev, MODE), to);
}

static int lock_status_get(DEV_ARGS, enum dpll_lock_status *to, enum dpll_lock_status_error *error,
			   ACK)
{
	return GET(dev_value(dev, LOCK), to) ?: GET(dev_value(dev, LOCK_ERROR), error);
}

static int temp_get(DEV_ARGS, s32 *to, ACK)
{
	return GET(dev_value(dev, TEMP), to);
}

#define PIN_GETTER(name, type, field)                                                              \
	static int name(PIN_ARGS, type *to, ACK)                                                   \
	{                                                                                          \
		return GET(pin_value(pin, dev, field), to);                                        \
	}
PIN_GETTER(frequency_get, u64, FREQUENCY)
PIN_GETTER(direction_get, enum dpll_pin_direction, DIRECTION)
PIN_GETTER(state_get, enum dpll_pin_state, STATE)
PIN_GETTER(prio_get, u32, PRIO)
PIN_GETTER(offset_get, s64, OFFSET)
PIN_GETTER(adjust_get, s32, ADJUST)
PIN_GETTER(ffo_get, s64, FFO)

static int esync_get(PIN_ARGS, struct dpll_pin_esync *to, ACK)
{
	static const struct dpll_pin_frequency range[] = {
		DPLL_PIN_FREQUENCY_RANGE(0, 0),
		DPLL_PIN_FREQUENCY_1PPS,
	};

	to->range = range;
	to->range_num = ARRAY_SIZE(range);
	return GET(pin_value(pin, dev, ESYNC), &to->freq) ?:
	       GET(pin_value(pin, dev, PULSE), &to->pulse);
}

static int on_parent_get(const struct dpll_pin *p, void *pin, const struct dpll_pin *q,
			 void *parent, enum dpll_pin_state *to, ACK)
{
	return GET(pin_value(pin, NULL, ON_PARENT), to);
}

static const struct dpll_device_ops all_dev_ops = {
	.mode_get = mode_get,
	.lock_status_get = lock_status_get,
	.temp_get = temp_get,
};
static const struct dpll_device_ops few_dev_ops = {
	.mode_get = mode_get,
	.lock_status_get = lock_status_get,
};
static const struct dpll_pin_ops all_pin_ops = {
	.frequency_get = frequency_get,
	.direction_get = direction_get,
	.state_on_dpll_get = state_get,
	.state_on_pin_get = on_parent_get,
	.prio_get = prio_get,
	.phase_offset_get = offset_get,
	.phase_adjust_get = adjust_get,
	.ffo_get = ffo_get,
	.esync_get = esync_get,
};
static const struct dpll_pin_ops few_pin_ops = {
	.direction_get = direction_get,
	.state_on_dpll_get = state_get,
	.state_on_pin_get = on_parent_get,
};
#define dev_ops (minimal ? &few_dev_ops : &all_dev_ops)
#define pin_ops (minimal ? &few_pin_ops : &all_pin_ops)

/* ---- what there is ------------------------------------------------------------ */

static struct dpll_pin_frequency one_pps[] = { DPLL_PIN_FREQUENCY_1PPS };
static struct dpll_pin_frequency sma[] = { DPLL_PIN_FREQUENCY_1PPS, DPLL_PIN_FREQUENCY_10MHZ };
static struct dpll_pin_frequency any[] = { DPLL_PIN_FREQUENCY_RANGE(1, 125000000) };
#define FREQUENCIES(list) .freq_supported = (list), .freq_supported_num = ARRAY_SIZE(list)
#define PRIO_AND_STATE                                                                             \
	(DPLL_PIN_CAPABILITIES_PRIORITY_CAN_CHANGE | DPLL_PIN_CAPABILITIES_STATE_CAN_CHANGE)
#define IN DPLL_PIN_DIRECTION_INPUT
#define OUT DPLL_PIN_DIRECTION_OUTPUT
#define CONNECTED DPLL_PIN_STATE_CONNECTED
#define DISCONNECTED DPLL_PIN_STATE_DISCONNECTED
#define SELECTABLE DPLL_PIN_STATE_SELECTABLE

static const struct dev dev_start[NDEV] = {
	{ .v = { DPLL_MODE_AUTOMATIC, DPLL_LOCK_STATUS_LOCKED_HO_ACQ, DPLL_LOCK_STATUS_ERROR_NONE,
		 43250 } },
	{ .v = { DPLL_MODE_MANUAL, DPLL_LOCK_STATUS_LOCKED, DPLL_LOCK_STATUS_ERROR_NONE, -5500 } },
	{ .v = { DPLL_MODE_AUTOMATIC, DPLL_LOCK_STATUS_LOCKED, DPLL_LOCK_STATUS_ERROR_NONE, 0 } },
};

/* All kinds of labels: three, one of each sort, none, and twice the same. */
static const struct pin pin_start[] = {
	{ .devs = 7, .parent = -1,
	  .prop = { .board_label = "GNSS-1PPS", .panel_label = "GNSS", .package_label = "REF4P",
		    .type = DPLL_PIN_TYPE_GNSS, .capabilities = PRIO_AND_STATE, FREQUENCIES(one_pps),
		    .phase_range = { -16723, 16723 } },
	  .v = { { 1, 100, -37, 0, 0, 0, IN, 0, CONNECTED, -1234567 },
		 { 1, 100, -37, 0, 0, 0, IN, 0, CONNECTED, 2500 },
		 { 1, 100, -37, 0, 0, 0, IN, 0, CONNECTED, 0 } } },
	{ .devs = 3, .parent = -1,
	  .prop = { .panel_label = "SMA1/rear", .type = DPLL_PIN_TYPE_EXT,
		    .capabilities = PRIO_AND_STATE | DPLL_PIN_CAPABILITIES_DIRECTION_CAN_CHANGE,
		    FREQUENCIES(sma), .phase_range = { -16723, 16723 } },
	  .v = { { 10000000, -16723, 0, 1, 25, 0, IN, 3, SELECTABLE, 5000000000000000 },
		 { 10000000, -16723, 0, 1, 25, 0, IN, 4, DISCONNECTED, -5000000000000000 } } },
	{ .devs = 2, .parent = -1,
	  .prop = { .package_label = "OUT0", .type = DPLL_PIN_TYPE_EXT,
		    .capabilities = DPLL_PIN_CAPABILITIES_STATE_CAN_CHANGE, FREQUENCIES(sma) },
	  .v = { { 1 }, { 1, 0, 0, 0, 0, 0, OUT, 0, CONNECTED, 0 } } },
	{ .devs = 1, .parent = -1,
	  .prop = { .type = DPLL_PIN_TYPE_INT_OSCILLATOR, FREQUENCIES(sma) },
	  .v = { { 10000000, 0, 0, 0, 0, 0, IN, 15, DISCONNECTED, 0 } } },
	{ .devs = 3, .parent = -1,
	  .prop = { .board_label = "RCLK-MUX", .type = DPLL_PIN_TYPE_MUX,
		    .capabilities = PRIO_AND_STATE, FREQUENCIES(any) },
	  .v = { { 1953125, 0, 0, 0, 0, 0, IN, 2, SELECTABLE, 0 },
		 { 1953125, 0, 0, 0, 0, 0, IN, 2, DISCONNECTED, 0 } } },
	{ .parent = 4,
	  .prop = { .board_label = "RCLK", .type = DPLL_PIN_TYPE_SYNCE_ETH_PORT,
		    .capabilities = DPLL_PIN_CAPABILITIES_STATE_CAN_CHANGE, FREQUENCIES(any) },
	  .v = { { 1953125, 0, 12, 0, 0, CONNECTED, IN } } },
	{ .parent = 4,
	  .prop = { .board_label = "RCLK", .type = DPLL_PIN_TYPE_SYNCE_ETH_PORT,
		    .capabilities = DPLL_PIN_CAPABILITIES_STATE_CAN_CHANGE, FREQUENCIES(any) },
	  .v = { { 1953125, 0, -8, 0, 0, DISCONNECTED, IN } } },
};

/* ---- registering ---------------------------------------------------------------- */

static int pin_on_dev(struct pin *p, uint d)
{
	int err;

	if (!(p->devs & BIT(d)) || p->on & BIT(d) || !devs[d].on)
		return 0;
	err = dpll_pin_register(devs[d].dpll, p->pin, pin_ops, p);
	if (!err)
		p->on |= BIT(d);
	return err;
}

static void pin_off_dev(struct pin *p, uint d)
{
	if (p->on & BIT(d))
		dpll_pin_unregister(devs[d].dpll, p->pin, pin_ops, p);
	p->on &= ~BIT(d);
}

static int pin_on(struct pin *p)
{
	int err = 0;

	for (uint d = 0; d < ndevs && !err; d++)
		err = pin_on_dev(p, d);
	if (!err && p->parent >= 0 && !p->on_parent && pins[p->parent].on) {
		err = dpll_pin_on_pin_register(pins[p->parent].pin, p->pin, pin_ops, p);
		p->on_parent = !err;
	}
	return err;
}

static void pin_off(struct pin *p)
{
	if (p->on_parent)
		dpll_pin_on_pin_unregister(pins[p->parent].pin, p->pin, pin_ops, p);
	p->on_parent = false;
	for (uint d = 0; d < ndevs; d++)
		pin_off_dev(p, d);
}

static int all_pins_on(void)
{
	int err = 0;

	for (uint i = 0; i < npins && !err; i++)
		err = pin_on(&pins[i]);
	return err;
}

/* A pin behind another is registered with all of that one's devices: it goes first. */
static void children_off(void)
{
	for (uint i = npins; i--;)
		if (pins[i].parent >= 0)
			pin_off(&pins[i]);
}

static void dev_off(uint d)
{
	if (!devs[d].on)
		return;
	children_off();
	for (uint i = npins; i--;)
		pin_off_dev(&pins[i], d);
	dpll_device_unregister(devs[d].dpll, dev_ops, &devs[d]);
	devs[d].on = false;
}

static int dev_on(uint d)
{
	static const enum dpll_type types[NDEV] = { DPLL_TYPE_EEC, DPLL_TYPE_PPS, DPLL_TYPE_EEC };
	int err;

	if (devs[d].on)
		return 0;
	err = dpll_device_register(devs[d].dpll, types[d], dev_ops, &devs[d]);
	devs[d].on = !err;
	return err;
}

/* ---- commands --------------------------------------------------------------------- */

static int number_of(const char *const *names, uint n, const char *name)
{
	for (uint i = 0; i < n; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

static int to_value(const char *word, s64 *v)
{
	if (strcmp(word, "fail"))
		return kstrtos64(word, 0, v);
	*v = FAIL;
	return 0;
}

static int set_dev(const char *line, bool quiet)
{
	char name[24], word[32];
	int field;
	uint d;
	s64 v;

	if (sscanf(line, "dev %u %23s %31s", &d, name, word) != 3 || d >= ndevs ||
	    (field = number_of(dev_field, DEV_FIELDS, name)) < 0 || to_value(word, &v))
		return -EINVAL;
	WRITE_ONCE(devs[d].v[field], v);
	if (!quiet) /* a getter that fails keeps the kernel from telling */
		dpll_device_change_ntf(devs[d].dpll);
	return 0;
}

static int set_pin(const char *line, bool quiet)
{
	char name[24], word[32];
	uint p, d;
	int field;
	s64 v;

	if (sscanf(line, "pin %u %u %23s %31s", &p, &d, name, word) != 4 || p >= npins ||
	    d >= ndevs || (field = number_of(pin_field, PIN_FIELDS, name)) < 0 ||
	    to_value(word, &v))
		return -EINVAL;
	WRITE_ONCE(pins[p].v[field >= DIRECTION ? d : 0][field], v);
	if (!quiet)
		dpll_pin_change_ntf(pins[p].pin);
	return 0;
}

static int switch_input(uint d, uint a, uint b)
{
	WRITE_ONCE(pins[a].v[d][STATE], SELECTABLE);
	WRITE_ONCE(pins[b].v[d][STATE], CONNECTED);
	dpll_pin_change_ntf(pins[a].pin);
	dpll_pin_change_ntf(pins[b].pin);
	return 0;
}

static int set_netdev(uint n, int p)
{
	dpll_netdev_pin_clear(nets[n]);
	if (p >= 0)
		dpll_netdev_pin_set(nets[n], pins[p].pin);
	return 0;
}

static int command(const char *line)
{
	bool quiet = !strncmp(line, "quiet ", 6);
	uint a, b, c;
	int p;

	line += quiet ? 6 : 0;
	if (!strncmp(line, "dev ", 4))
		return set_dev(line, quiet);
	if (!strncmp(line, "pin ", 4))
		return set_pin(line, quiet);
	if (sscanf(line, "switch %u %u %u", &a, &b, &c) == 3 && a < ndevs && b < npins && c < npins)
		return switch_input(a, b, c);
	if (sscanf(line, "devdel %u", &a) == 1 && a < ndevs) {
		dev_off(a);
		return all_pins_on(); /* those behind the other devices come back */
	}
	if (sscanf(line, "devadd %u", &a) == 1 && a < ndevs) {
		children_off();
		return dev_on(a) ?: all_pins_on();
	}
	if (sscanf(line, "pindel %u", &a) == 1 && a < npins) {
		pin_off(&pins[a]);
		return 0;
	}
	if (sscanf(line, "pinadd %u", &a) == 1 && a < npins)
		return pin_on(&pins[a]);
	if (sscanf(line, "pinoff %u %u", &a, &b) == 2 && a < npins && b < ndevs) {
		pin_off_dev(&pins[a], b);
		return 0;
	}
	if (sscanf(line, "pinon %u %u", &a, &b) == 2 && a < npins && b < ndevs)
		return pin_on_dev(&pins[a], b);
	if (sscanf(line, "netdev %u %d", &a, &p) == 2 && a < NNET && p < (int)npins)
		return set_netdev(a, p);
	return -EINVAL;
}

static ssize_t control_write(struct file *f, const char __user *from, size_t n, loff_t *at)
{
	char line[96];
	int err;

	if (n >= sizeof(line) || copy_from_user(line, from, n))
		return -EINVAL;
	line[n] = 0;
	mutex_lock(&lock);
	err = command(line);
	mutex_unlock(&lock);
	return err ? err : n;
}

static int control_show(struct seq_file *m, void *unused)
{
	for (uint d = 0; d < ndevs; d++)
		for (uint i = 0; i < DEV_FIELDS; i++)
			seq_printf(m, "dev %u %s %lld\n", d, dev_field[i], devs[d].v[i]);
	for (uint p = 0; p < npins; p++)
		for (uint d = 0; d < ndevs; d++)
			for (uint i = d ? DIRECTION : 0; i < PIN_FIELDS; i++)
				if (i < DIRECTION || pins[p].on & BIT(d))
					seq_printf(m, "pin %u %u %s %lld\n", p, d, pin_field[i],
						   pins[p].v[d][i]);
	return 0;
}

static int control_open(struct inode *inode, struct file *f)
{
	return single_open(f, control_show, NULL);
}

static const struct file_operations control_ops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.release = single_release,
	.write = control_write,
};

/* ---- network devices ----------------------------------------------------------------- */

static netdev_tx_t net_xmit(struct sk_buff *skb, struct net_device *n)
{
	dev_kfree_skb(skb);
	return NETDEV_TX_OK;
}

static const struct net_device_ops net_ops = { .ndo_start_xmit = net_xmit };

static void net_setup(struct net_device *n)
{
	ether_setup(n);
	n->netdev_ops = &net_ops;
	eth_hw_addr_random(n);
}

static int net_on(uint i)
{
	struct net_device *n = alloc_netdev(0, "dpllsim%d", NET_NAME_ENUM, net_setup);
	int err = n ? register_netdev(n) : -ENOMEM;

	if (!err)
		nets[i] = n;
	else if (n)
		free_netdev(n);
	if (!err)
		dpll_netdev_pin_set(n, pins[FIRST_RCLK + i].pin);
	return err;
}

static void net_off(uint i)
{
	if (!nets[i])
		return;
	dpll_netdev_pin_clear(nets[i]);
	unregister_netdev(nets[i]);
	free_netdev(nets[i]);
}

/* ---- coming and going ----------------------------------------------------------------- */

static void leave(void)
{
	debugfs_remove(control);
	for (uint i = 0; i < NNET; i++)
		net_off(i);
	for (uint i = npins; i--;)
		pin_off(&pins[i]);
	for (uint d = ndevs; d--;) {
		if (devs[d].on)
			dpll_device_unregister(devs[d].dpll, dev_ops, &devs[d]);
		dpll_device_put(devs[d].dpll);
	}
	for (uint i = npins; i--;)
		dpll_pin_put(pins[i].pin);
	kvfree(pins);
}

static int make_dev(uint d)
{
	devs[d] = dev_start[d];
	devs[d].dpll = dpll_device_get(clock_id, d, THIS_MODULE);
	if (IS_ERR(devs[d].dpll))
		return PTR_ERR(devs[d].dpll);
	ndevs = d + 1;
	return dev_on(d);
}

static int make_pin(uint i)
{
	struct pin *p = &pins[i];
	uint known = ARRAY_SIZE(pin_start);

	*p = pin_start[i < known ? i : 1];
	if (i >= known) {
		snprintf(p->label, sizeof(p->label), "EXT-%u", i - known);
		p->prop.board_label = p->label;
		p->devs = 1;
	}
	p->pin = dpll_pin_get(clock_id, i, THIS_MODULE, &p->prop);
	if (IS_ERR(p->pin))
		return PTR_ERR(p->pin);
	npins = i + 1;
	return pin_on(p);
}

static int __init dpllsim_init(void)
{
	uint n = ARRAY_SIZE(pin_start) + min(extra, 100000U);
	int err = 0;

	pins = kvcalloc(n, sizeof(*pins), GFP_KERNEL);
	if (!pins)
		return -ENOMEM;
	for (uint d = 0; d < 2 + twin && !err; d++)
		err = make_dev(d);
	for (uint i = 0; i < n && !err; i++)
		err = make_pin(i);
	for (uint i = 0; i < NNET && !err; i++)
		err = net_on(i);
	if (err)
		leave();
	else
		control = debugfs_create_file("dpllsim", 0600, NULL, NULL, &control_ops);
	return err;
}
module_init(dpllsim_init);
module_exit(leave);
MODULE_DESCRIPTION("simulated DPLL devices and pins");
MODULE_LICENSE("Dual MIT/GPL");
