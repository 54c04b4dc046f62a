/* SPDX-License-Identifier: MIT */
/*
 * Every kernel header that netmon decodes.  names.awk reads its expansion
 * twice: the headers alone to learn what they have (have.h), then with the
 * symbols of uapi/ that older headers lack.
 */
#ifndef UAPI_H
#define UAPI_H
#if __has_include(<linux/dpll.h>) /* 6.7 */
#include <linux/dpll.h>
#endif
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <linux/fib_rules.h>
#include <linux/genetlink.h>
#include <linux/icmpv6.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/if_bonding.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_macsec.h>
#include <linux/if_tun.h>
#include <linux/if_tunnel.h>
#include <linux/if_vlan.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/netconf.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <linux/snmp.h>
#include <linux/time_types.h>
#include <linux/wireguard.h>
#include <sys/socket.h>
#ifndef NM_HEADERS_ONLY
#include "have.h"
#include "uapi/dpll.h"
#include "uapi/fib_rules.h"
#include "uapi/if_bridge.h"
#include "uapi/if_link.h"
#include "uapi/neighbour.h"
#include "uapi/nexthop.h"
#endif
#endif
