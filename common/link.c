/* SPDX-License-Identifier: MIT */
/* The tables of link messages (linux/if_link.h), which several plugins read. */
#include "names.h"
#include "netmon.h"
#include "uapi.h"

static const struct nm_field stats64_rows[] = {
	NM_M(rtnl_link_stats64, rx_packets, UINT),
	NM_M(rtnl_link_stats64, tx_packets, UINT),
	NM_M(rtnl_link_stats64, rx_bytes, UINT),
	NM_M(rtnl_link_stats64, tx_bytes, UINT),
	NM_M(rtnl_link_stats64, rx_errors, UINT),
	NM_M(rtnl_link_stats64, tx_errors, UINT),
	NM_M(rtnl_link_stats64, rx_dropped, UINT),
	NM_M(rtnl_link_stats64, tx_dropped, UINT),
	NM_M(rtnl_link_stats64, multicast, UINT),
	NM_M(rtnl_link_stats64, collisions, UINT),
	NM_M(rtnl_link_stats64, rx_length_errors, UINT),
	NM_M(rtnl_link_stats64, rx_over_errors, UINT),
	NM_M(rtnl_link_stats64, rx_crc_errors, UINT),
	NM_M(rtnl_link_stats64, rx_frame_errors, UINT),
	NM_M(rtnl_link_stats64, rx_fifo_errors, UINT),
	NM_M(rtnl_link_stats64, rx_missed_errors, UINT),
	NM_M(rtnl_link_stats64, tx_aborted_errors, UINT),
	NM_M(rtnl_link_stats64, tx_carrier_errors, UINT),
	NM_M(rtnl_link_stats64, tx_fifo_errors, UINT),
	NM_M(rtnl_link_stats64, tx_heartbeat_errors, UINT),
	NM_M(rtnl_link_stats64, tx_window_errors, UINT),
	NM_M(rtnl_link_stats64, rx_compressed, UINT),
	NM_M(rtnl_link_stats64, tx_compressed, UINT),
	NM_M(rtnl_link_stats64, rx_nohandler, UINT),
	NM_M(rtnl_link_stats64, rx_otherhost_dropped, UINT),
};
const struct nm_table nm_stats64_table = NM_STRUCT_OF(rtnl_link_stats64, "", stats64_rows, NULL);

static const struct nm_field map_rows[] = {
	NM_M(rtnl_link_ifmap, mem_start, UINT), NM_M(rtnl_link_ifmap, mem_end, UINT),
	NM_M(rtnl_link_ifmap, base_addr, UINT), NM_M(rtnl_link_ifmap, irq, UINT),
	NM_M(rtnl_link_ifmap, dma, UINT),       NM_M(rtnl_link_ifmap, port, UINT),
};
static const struct nm_table map = NM_STRUCT_OF(rtnl_link_ifmap, "", map_rows, NULL);

static const struct nm_field querier_rows[] = {
	NM_A(BRIDGE_QUERIER_IP_ADDRESS, ADDR),     NM_A(BRIDGE_QUERIER_IP_PORT, IFINDEX),
	NM_A(BRIDGE_QUERIER_IP_OTHER_TIMER, UINT), NM_A(BRIDGE_QUERIER_IPV6_ADDRESS, ADDR),
	NM_A(BRIDGE_QUERIER_IPV6_PORT, IFINDEX),   NM_A(BRIDGE_QUERIER_IPV6_OTHER_TIMER, UINT),
};
static const struct nm_table querier =
	NM_ATTRS("BRIDGE_QUERIER_", querier_rows, &nm_BRIDGE_QUERIER);

static const struct nm_field boolopt_rows[] = {
	NM_M(br_boolopt_multi, optval, UINT),
	NM_M(br_boolopt_multi, optmask, UINT),
};
static const struct nm_table boolopt = NM_STRUCT_OF(br_boolopt_multi, "", boolopt_rows, NULL);

static const struct nm_field bridge_rows[] = {
	NM_A(IFLA_BR_FORWARD_DELAY, UINT),
	NM_A(IFLA_BR_HELLO_TIME, UINT),
	NM_A(IFLA_BR_MAX_AGE, UINT),
	NM_A(IFLA_BR_AGEING_TIME, UINT),
	NM_A(IFLA_BR_STP_STATE, UINT),
	NM_A(IFLA_BR_PRIORITY, UINT),
	NM_A(IFLA_BR_VLAN_FILTERING, UINT),
	NM_A(IFLA_BR_VLAN_PROTOCOL, BE),
	NM_A(IFLA_BR_GROUP_FWD_MASK, UINT),
	NM_A(IFLA_BR_ROOT_ID, LLADDR),
	NM_A(IFLA_BR_BRIDGE_ID, LLADDR),
	NM_A(IFLA_BR_ROOT_PORT, UINT),
	NM_A(IFLA_BR_ROOT_PATH_COST, UINT),
	NM_A(IFLA_BR_TOPOLOGY_CHANGE, UINT),
	NM_A(IFLA_BR_TOPOLOGY_CHANGE_DETECTED, UINT),
	NM_A(IFLA_BR_HELLO_TIMER, UINT),
	NM_A(IFLA_BR_TCN_TIMER, UINT),
	NM_A(IFLA_BR_TOPOLOGY_CHANGE_TIMER, UINT),
	NM_A(IFLA_BR_GC_TIMER, UINT),
	NM_A(IFLA_BR_GROUP_ADDR, LLADDR),
	NM_A(IFLA_BR_MCAST_ROUTER, UINT),
	NM_A(IFLA_BR_MCAST_SNOOPING, UINT),
	NM_A(IFLA_BR_MCAST_QUERY_USE_IFADDR, UINT),
	NM_A(IFLA_BR_MCAST_QUERIER, UINT),
	NM_A(IFLA_BR_MCAST_HASH_ELASTICITY, UINT),
	NM_A(IFLA_BR_MCAST_HASH_MAX, UINT),
	NM_A(IFLA_BR_MCAST_LAST_MEMBER_CNT, UINT),
	NM_A(IFLA_BR_MCAST_STARTUP_QUERY_CNT, UINT),
	NM_A(IFLA_BR_MCAST_LAST_MEMBER_INTVL, UINT),
	NM_A(IFLA_BR_MCAST_MEMBERSHIP_INTVL, UINT),
	NM_A(IFLA_BR_MCAST_QUERIER_INTVL, UINT),
	NM_A(IFLA_BR_MCAST_QUERY_INTVL, UINT),
	NM_A(IFLA_BR_MCAST_QUERY_RESPONSE_INTVL, UINT),
	NM_A(IFLA_BR_MCAST_STARTUP_QUERY_INTVL, UINT),
	NM_A(IFLA_BR_NF_CALL_IPTABLES, UINT),
	NM_A(IFLA_BR_NF_CALL_IP6TABLES, UINT),
	NM_A(IFLA_BR_NF_CALL_ARPTABLES, UINT),
	NM_A(IFLA_BR_VLAN_DEFAULT_PVID, UINT),
	NM_A(IFLA_BR_VLAN_STATS_ENABLED, UINT),
	NM_A(IFLA_BR_MCAST_STATS_ENABLED, UINT),
	NM_A(IFLA_BR_MCAST_IGMP_VERSION, UINT),
	NM_A(IFLA_BR_MCAST_MLD_VERSION, UINT),
	NM_A(IFLA_BR_VLAN_STATS_PER_PORT, UINT),
	NM_A(IFLA_BR_MULTI_BOOLOPT, STRUCT, .table = &boolopt),
	NM_A(IFLA_BR_MCAST_QUERIER_STATE, NEST, .table = &querier),
	NM_A(IFLA_BR_FDB_N_LEARNED, UINT),
	NM_A(IFLA_BR_FDB_MAX_LEARNED, UINT),
};
static const struct nm_table bridge = NM_ATTRS("IFLA_BR_", bridge_rows, &nm_IFLA_BR);

static const struct nm_field port_rows[] = {
	NM_A(IFLA_BRPORT_STATE, ENUM, .names = &nm_BR_STATE),
	NM_A(IFLA_BRPORT_PRIORITY, UINT),
	NM_A(IFLA_BRPORT_COST, UINT),
	NM_A(IFLA_BRPORT_MODE, UINT),
	NM_A(IFLA_BRPORT_GUARD, UINT),
	NM_A(IFLA_BRPORT_PROTECT, UINT),
	NM_A(IFLA_BRPORT_FAST_LEAVE, UINT),
	NM_A(IFLA_BRPORT_LEARNING, UINT),
	NM_A(IFLA_BRPORT_UNICAST_FLOOD, UINT),
	NM_A(IFLA_BRPORT_PROXYARP, UINT),
	NM_A(IFLA_BRPORT_PROXYARP_WIFI, UINT),
	NM_A(IFLA_BRPORT_ROOT_ID, LLADDR),
	NM_A(IFLA_BRPORT_BRIDGE_ID, LLADDR),
	NM_A(IFLA_BRPORT_DESIGNATED_PORT, UINT),
	NM_A(IFLA_BRPORT_DESIGNATED_COST, UINT),
	NM_A(IFLA_BRPORT_ID, UINT),
	NM_A(IFLA_BRPORT_NO, UINT),
	NM_A(IFLA_BRPORT_TOPOLOGY_CHANGE_ACK, UINT),
	NM_A(IFLA_BRPORT_CONFIG_PENDING, UINT),
	NM_A(IFLA_BRPORT_MESSAGE_AGE_TIMER, UINT),
	NM_A(IFLA_BRPORT_FORWARD_DELAY_TIMER, UINT),
	NM_A(IFLA_BRPORT_HOLD_TIMER, UINT),
	NM_A(IFLA_BRPORT_MULTICAST_ROUTER, UINT),
	NM_A(IFLA_BRPORT_MCAST_FLOOD, UINT),
	NM_A(IFLA_BRPORT_MCAST_TO_UCAST, UINT),
	NM_A(IFLA_BRPORT_VLAN_TUNNEL, UINT),
	NM_A(IFLA_BRPORT_BCAST_FLOOD, UINT),
	NM_A(IFLA_BRPORT_GROUP_FWD_MASK, UINT),
	NM_A(IFLA_BRPORT_NEIGH_SUPPRESS, UINT),
	NM_A(IFLA_BRPORT_ISOLATED, UINT),
	NM_A(IFLA_BRPORT_BACKUP_PORT, IFINDEX),
	NM_A(IFLA_BRPORT_MRP_RING_OPEN, UINT),
	NM_A(IFLA_BRPORT_MRP_IN_OPEN, UINT),
	NM_A(IFLA_BRPORT_MCAST_EHT_HOSTS_LIMIT, UINT),
	NM_A(IFLA_BRPORT_MCAST_EHT_HOSTS_CNT, UINT),
	NM_A(IFLA_BRPORT_LOCKED, UINT),
	NM_A(IFLA_BRPORT_MAB, UINT),
	NM_A(IFLA_BRPORT_MCAST_N_GROUPS, UINT),
	NM_A(IFLA_BRPORT_MCAST_MAX_GROUPS, UINT),
	NM_A(IFLA_BRPORT_NEIGH_VLAN_SUPPRESS, UINT),
	NM_A(IFLA_BRPORT_BACKUP_NHID, UINT),
};
const struct nm_table nm_port_table = NM_ATTRS("IFLA_BRPORT_", port_rows, &nm_IFLA_BRPORT);

static const struct nm_field vlan_rows[] = {
	NM_A(IFLA_VLAN_ID, UINT),
	NM_A(IFLA_VLAN_PROTOCOL, BE),
};
static const struct nm_table vlan = NM_ATTRS("IFLA_VLAN_", vlan_rows, &nm_IFLA_VLAN);

static const struct nm_field vrf_rows[] = {
	NM_A(IFLA_VRF_TABLE, UINT),
};
static const struct nm_table vrf = NM_ATTRS("IFLA_VRF_", vrf_rows, &nm_IFLA_VRF);

static const struct nm_field tun_rows[] = {
	NM_A(IFLA_TUN_OWNER, UINT),
	NM_A(IFLA_TUN_GROUP, UINT),
	NM_A(IFLA_TUN_TYPE, UINT),
	NM_A(IFLA_TUN_PI, UINT),
	NM_A(IFLA_TUN_VNET_HDR, UINT),
	NM_A(IFLA_TUN_PERSIST, UINT),
	NM_A(IFLA_TUN_MULTI_QUEUE, UINT),
	NM_A(IFLA_TUN_NUM_QUEUES, UINT),
	NM_A(IFLA_TUN_NUM_DISABLED_QUEUES, UINT),
};
static const struct nm_table tun = NM_ATTRS("IFLA_TUN_", tun_rows, &nm_IFLA_TUN);

static const struct nm_field vxlan_rows[] = {
	NM_A(IFLA_VXLAN_ID, UINT),
	NM_A(IFLA_VXLAN_GROUP, ADDR),
	NM_A(IFLA_VXLAN_LINK, IFINDEX),
	NM_A(IFLA_VXLAN_LOCAL, ADDR),
	NM_A(IFLA_VXLAN_TTL, UINT),
	NM_A(IFLA_VXLAN_TOS, UINT),
	NM_A(IFLA_VXLAN_LEARNING, UINT),
	NM_A(IFLA_VXLAN_AGEING, UINT),
	NM_A(IFLA_VXLAN_LIMIT, UINT),
	NM_A(IFLA_VXLAN_PORT, BE),
	NM_A(IFLA_VXLAN_GROUP6, ADDR),
	NM_A(IFLA_VXLAN_LOCAL6, ADDR),
	NM_A(IFLA_VXLAN_COLLECT_METADATA, UINT),
	NM_A(IFLA_VXLAN_VNIFILTER, UINT),
};
static const struct nm_table vxlan = NM_ATTRS("IFLA_VXLAN_", vxlan_rows, &nm_IFLA_VXLAN);

static const struct nm_case kinds[] = {
	{"bridge", &bridge}, {"tun", &tun}, {"vlan", &vlan}, {"vrf", &vrf}, {"vxlan", &vxlan}, {0},
};
static const struct nm_case slave_kinds[] = {{"bridge", &nm_port_table}, {0}};

static const struct nm_field info_rows[] = {
	NM_A(IFLA_INFO_KIND, STR),
	NM_A(IFLA_INFO_DATA, CHOICE, .by = IFLA_INFO_KIND, .cases = kinds),
	NM_A(IFLA_INFO_SLAVE_KIND, STR),
	NM_A(IFLA_INFO_SLAVE_DATA, CHOICE, .by = IFLA_INFO_SLAVE_KIND, .cases = slave_kinds),
};
static const struct nm_table info = NM_ATTRS("IFLA_INFO_", info_rows, &nm_IFLA_INFO);

static const struct nm_field inet_rows[] = {
	NM_A(IFLA_INET_CONF, ARRAY_OF, .len = 4, .by = 1, .names = &nm_IPV4_DEVCONF),
};
static const struct nm_table inet = NM_ATTRS("IFLA_INET_", inet_rows, NULL);

static const struct nm_field inet6_cache_rows[] = {
	NM_M(ifla_cacheinfo, max_reasm_len, UINT),
	NM_M(ifla_cacheinfo, tstamp, UINT),
	NM_M(ifla_cacheinfo, reachable_time, UINT),
	NM_M(ifla_cacheinfo, retrans_time, UINT),
};
static const struct nm_table inet6_cache = NM_STRUCT_OF(ifla_cacheinfo, "", inet6_cache_rows, NULL);

static const struct nm_field inet6_rows[] = {
	NM_A(IFLA_INET6_FLAGS, HEX),
	NM_A(IFLA_INET6_CONF, ARRAY_OF, .len = 4, .names = &nm_IPV6_DEVCONF),
	/* without names: Linux 6.7 put a counter between the others, and no attribute tells */
	NM_A(IFLA_INET6_STATS, ARRAY_OF, .len = 8),
	NM_A(IFLA_INET6_CACHEINFO, STRUCT, .table = &inet6_cache),
	NM_A(IFLA_INET6_ICMP6STATS, ARRAY_OF, .len = 8, .names = &nm_ICMP6),
	NM_A(IFLA_INET6_TOKEN, ADDR),
	NM_A(IFLA_INET6_ADDR_GEN_MODE, ENUM, .names = &nm_IN6_ADDR_GEN),
	NM_A(IFLA_INET6_RA_MTU, UINT),
};
const struct nm_table nm_inet6_table = NM_ATTRS("IFLA_INET6_", inet6_rows, &nm_IFLA_INET6);

static const struct nm_field af_rows[] = {
	NM_A(AF_INET, NEST, .table = &inet),
	NM_A(AF_INET6, NEST, .table = &nm_inet6_table),
};
static const struct nm_table af_spec = NM_ATTRS("AF_", af_rows, &nm_AF);

static const struct nm_field xdp_rows[] = {
	NM_A(IFLA_XDP_ATTACHED, ENUM, .names = &nm_XDP_ATTACHED),
	NM_A(IFLA_XDP_PROG_ID, UINT),
	NM_A(IFLA_XDP_DRV_PROG_ID, UINT),
	NM_A(IFLA_XDP_SKB_PROG_ID, UINT),
	NM_A(IFLA_XDP_HW_PROG_ID, UINT),
};
static const struct nm_table xdp = NM_ATTRS("IFLA_XDP_", xdp_rows, &nm_IFLA_XDP);

static const struct nm_field property_rows[] = {
	NM_A(IFLA_ALT_IFNAME, STR),
};
static const struct nm_table properties = NM_ATTRS("IFLA_", property_rows, &nm_IFLA);

static const struct nm_field ifla_rows[] = {
	NM_A(IFLA_ADDRESS, LLADDR),
	NM_A(IFLA_BROADCAST, LLADDR),
	NM_A(IFLA_IFNAME, STR),
	NM_A(IFLA_MTU, UINT),
	NM_A(IFLA_LINK, IFINDEX),
	NM_A(IFLA_QDISC, STR),
	NM_A(IFLA_MASTER, IFINDEX),
	NM_A(IFLA_TXQLEN, UINT),
	NM_A(IFLA_MAP, STRUCT, .table = &map),
	NM_A(IFLA_OPERSTATE, ENUM, .names = &nm_IF_OPER),
	NM_A(IFLA_LINKMODE, UINT),
	NM_A(IFLA_LINKINFO, NEST, .table = &info),
	NM_A(IFLA_IFALIAS, STR),
	NM_A(IFLA_NUM_VF, UINT),
	NM_A(IFLA_STATS64, STRUCT, .table = &nm_stats64_table),
	NM_A(IFLA_AF_SPEC, NEST, .table = &af_spec),
	NM_A(IFLA_GROUP, UINT),
	NM_A(IFLA_PROMISCUITY, UINT),
	NM_A(IFLA_NUM_TX_QUEUES, UINT),
	NM_A(IFLA_NUM_RX_QUEUES, UINT),
	NM_A(IFLA_CARRIER, UINT),
	NM_A(IFLA_PHYS_PORT_ID, HEX),
	NM_A(IFLA_CARRIER_CHANGES, UINT),
	NM_A(IFLA_PHYS_SWITCH_ID, HEX),
	NM_A(IFLA_LINK_NETNSID, SINT),
	NM_A(IFLA_PHYS_PORT_NAME, STR),
	NM_A(IFLA_PROTO_DOWN, UINT),
	NM_A(IFLA_GSO_MAX_SEGS, UINT),
	NM_A(IFLA_GSO_MAX_SIZE, UINT),
	NM_A(IFLA_XDP, NEST, .table = &xdp),
	NM_A(IFLA_EVENT, UINT),
	NM_A(IFLA_NEW_NETNSID, SINT),
	NM_A(IFLA_CARRIER_UP_COUNT, UINT),
	NM_A(IFLA_CARRIER_DOWN_COUNT, UINT),
	NM_A(IFLA_NEW_IFINDEX, UINT),
	NM_A(IFLA_MIN_MTU, UINT),
	NM_A(IFLA_MAX_MTU, UINT),
	NM_A(IFLA_PROP_LIST, LIST, .table = &properties),
	NM_A(IFLA_PERM_ADDRESS, LLADDR),
	NM_A(IFLA_PARENT_DEV_NAME, STR),
	NM_A(IFLA_PARENT_DEV_BUS_NAME, STR),
	NM_A(IFLA_GRO_MAX_SIZE, UINT),
	NM_A(IFLA_TSO_MAX_SIZE, UINT),
	NM_A(IFLA_TSO_MAX_SEGS, UINT),
	NM_A(IFLA_ALLMULTI, UINT),
	NM_A(IFLA_GSO_IPV4_MAX_SIZE, UINT),
	NM_A(IFLA_GRO_IPV4_MAX_SIZE, UINT),
	NM_A(IFLA_MAX_PACING_OFFLOAD_HORIZON, UINT),
	NM_A(IFLA_NETNS_IMMUTABLE, UINT),
	NM_A(IFLA_HEADROOM, UINT),
	NM_A(IFLA_TAILROOM, UINT),
};
static const struct nm_table ifla = NM_ATTRS("IFLA_", ifla_rows, &nm_IFLA);

static const struct nm_field ifinfo_rows[] = {
	NM_M(ifinfomsg, ifi_type, ENUM, .names = &nm_ARPHRD),
	NM_M(ifinfomsg, ifi_index, UINT),
	NM_M(ifinfomsg, ifi_flags, BITS, .names = &nm_IFF),
};
const struct nm_table nm_link_table = NM_STRUCT_OF(ifinfomsg, "ifi_", ifinfo_rows, &ifla);
