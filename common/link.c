/* SPDX-License-Identifier: MIT */
/* The tables of link messages (linux/if_link.h), which several plugins read. */
#include "internal.h"
#include "names.h"
#include "uapi.h"

#define STATS_OF(type)                                                                             \
	NM_M(type, rx_packets, UINT), NM_M(type, tx_packets, UINT), NM_M(type, rx_bytes, UINT),    \
		NM_M(type, tx_bytes, UINT), NM_M(type, rx_errors, UINT),                           \
		NM_M(type, tx_errors, UINT), NM_M(type, rx_dropped, UINT),                         \
		NM_M(type, tx_dropped, UINT), NM_M(type, multicast, UINT),                         \
		NM_M(type, collisions, UINT), NM_M(type, rx_length_errors, UINT),                  \
		NM_M(type, rx_over_errors, UINT), NM_M(type, rx_crc_errors, UINT),                 \
		NM_M(type, rx_frame_errors, UINT), NM_M(type, rx_fifo_errors, UINT),               \
		NM_M(type, rx_missed_errors, UINT), NM_M(type, tx_aborted_errors, UINT),           \
		NM_M(type, tx_carrier_errors, UINT), NM_M(type, tx_fifo_errors, UINT),             \
		NM_M(type, tx_heartbeat_errors, UINT), NM_M(type, tx_window_errors, UINT),         \
		NM_M(type, rx_compressed, UINT), NM_M(type, tx_compressed, UINT),                  \
		NM_M(type, rx_nohandler, UINT)

static const struct nm_field stats64_rows[] = {
	STATS_OF(rtnl_link_stats64),
	NM_M(rtnl_link_stats64, rx_otherhost_dropped, UINT),
};
const struct nm_table nm_stats64_table = NM_STRUCT_OF(rtnl_link_stats64, "", stats64_rows, NULL);

/* The same, modulo 2^32. */
static const struct nm_field stats_rows[] = {STATS_OF(rtnl_link_stats)};
static const struct nm_table stats = NM_STRUCT_OF(rtnl_link_stats, "", stats_rows, NULL);

static const struct nm_field map_rows[] = {
	NM_M(rtnl_link_ifmap, mem_start, UINT), NM_M(rtnl_link_ifmap, mem_end, UINT),
	NM_M(rtnl_link_ifmap, base_addr, UINT), NM_M(rtnl_link_ifmap, irq, UINT),
	NM_M(rtnl_link_ifmap, dma, UINT),       NM_M(rtnl_link_ifmap, port, UINT),
};
static const struct nm_table map = NM_STRUCT_OF(rtnl_link_ifmap, "", map_rows, NULL);

static const struct nm_field info_rows[] = {
	NM_A(IFLA_INFO_KIND, STR),
	NM_A(IFLA_INFO_DATA, CHOICE, .by = IFLA_INFO_KIND, .cases = nm_link_kinds),
	NM_A(IFLA_INFO_SLAVE_KIND, STR),
	NM_A(IFLA_INFO_SLAVE_DATA, CHOICE, .by = IFLA_INFO_SLAVE_KIND, .cases = nm_port_kinds),
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

#define SETTING(type, member, kind, ...)                                                           \
	static const struct nm_field type##_rows[] = {                                             \
		NM_M(ifla_##type, vf, UINT),                                                       \
		NM_M(ifla_##type, member, kind, ##__VA_ARGS__),                                    \
	};                                                                                         \
	static const struct nm_table type = NM_STRUCT_OF(ifla_##type, "", type##_rows, NULL)
SETTING(vf_spoofchk, setting, UINT);
SETTING(vf_link_state, link_state, UINT);
SETTING(vf_rss_query_en, setting, UINT);
SETTING(vf_trust, setting, UINT);
SETTING(vf_tx_rate, rate, UINT);

/* 32 bytes for every kind of address; an Ethernet device's has 6. */
static const struct nm_field vf_mac_rows[] = {
	NM_M(ifla_vf_mac, vf, UINT),
	{.name = "mac", .kind = NM_LLADDR, .off = offsetof(struct ifla_vf_mac, mac), .len = 6},
};
static const struct nm_table vf_mac = NM_STRUCT_OF(ifla_vf_mac, "", vf_mac_rows, NULL);

static const struct nm_field vf_rate_rows[] = {
	NM_M(ifla_vf_rate, vf, UINT),
	NM_M(ifla_vf_rate, min_tx_rate, UINT),
	NM_M(ifla_vf_rate, max_tx_rate, UINT),
};
static const struct nm_table vf_rate = NM_STRUCT_OF(ifla_vf_rate, "", vf_rate_rows, NULL);

static const struct nm_field vf_vlan_rows[] = {
	NM_M(ifla_vf_vlan, vf, UINT),
	NM_M(ifla_vf_vlan, vlan, UINT),
	NM_M(ifla_vf_vlan, qos, UINT),
};
static const struct nm_table vf_vlan = NM_STRUCT_OF(ifla_vf_vlan, "", vf_vlan_rows, NULL);

static const struct nm_field vf_vlan_info_rows[] = {
	NM_M(ifla_vf_vlan_info, vf, UINT),
	NM_M(ifla_vf_vlan_info, vlan, UINT),
	NM_M(ifla_vf_vlan_info, qos, UINT),
	NM_M(ifla_vf_vlan_info, vlan_proto, BE),
};
static const struct nm_table vf_vlan_info =
	NM_STRUCT_OF(ifla_vf_vlan_info, "", vf_vlan_info_rows, NULL);
static const struct nm_field vf_vlan_list_rows[] = {
	NM_A(IFLA_VF_VLAN_INFO, STRUCT, .table = &vf_vlan_info),
};
static const struct nm_table vf_vlan_list = NM_ATTRS("IFLA_VF_VLAN_", vf_vlan_list_rows, NULL);

static const struct nm_field vf_stats_rows[] = {
	NM_A(IFLA_VF_STATS_RX_PACKETS, UINT), NM_A(IFLA_VF_STATS_TX_PACKETS, UINT),
	NM_A(IFLA_VF_STATS_RX_BYTES, UINT),   NM_A(IFLA_VF_STATS_TX_BYTES, UINT),
	NM_A(IFLA_VF_STATS_BROADCAST, UINT),  NM_A(IFLA_VF_STATS_MULTICAST, UINT),
	NM_A(IFLA_VF_STATS_RX_DROPPED, UINT), NM_A(IFLA_VF_STATS_TX_DROPPED, UINT),
};
static const struct nm_table vf_stats =
	NM_ATTRS("IFLA_VF_STATS_", vf_stats_rows, &nm_IFLA_VF_STATS);

static const struct nm_field vf_rows[] = {
	NM_A(IFLA_VF_MAC, STRUCT, .table = &vf_mac),
	NM_A(IFLA_VF_VLAN, STRUCT, .table = &vf_vlan),
	NM_A(IFLA_VF_TX_RATE, STRUCT, .table = &vf_tx_rate),
	NM_A(IFLA_VF_SPOOFCHK, STRUCT, .table = &vf_spoofchk),
	NM_A(IFLA_VF_LINK_STATE, STRUCT, .table = &vf_link_state),
	NM_A(IFLA_VF_RATE, STRUCT, .table = &vf_rate),
	NM_A(IFLA_VF_RSS_QUERY_EN, STRUCT, .table = &vf_rss_query_en),
	NM_A(IFLA_VF_STATS, NEST, .table = &vf_stats),
	NM_A(IFLA_VF_TRUST, STRUCT, .table = &vf_trust),
	NM_A(IFLA_VF_VLAN_LIST, LIST, .table = &vf_vlan_list),
	NM_A(IFLA_VF_BROADCAST, LLADDR),
};
static const struct nm_table vf = NM_ATTRS("IFLA_VF_", vf_rows, &nm_IFLA_VF);

static const struct nm_field vf_list_rows[] = {
	NM_A(IFLA_VF_INFO, NEST, .table = &vf),
};
static const struct nm_table vf_list = NM_ATTRS("IFLA_VF_", vf_list_rows, NULL);

static const struct nm_field dpll_pin_rows[] = {
	NM_A(DPLL_A_PIN_ID, UINT),
};
static const struct nm_table dpll_pin = NM_ATTRS("DPLL_A_PIN_", dpll_pin_rows, NULL);

static const struct nm_field property_rows[] = {
	NM_A(IFLA_ALT_IFNAME, STR),
};
static const struct nm_table properties = NM_ATTRS("IFLA_", property_rows, &nm_IFLA);

static const struct nm_field ifla_rows[] = {
	NM_A(IFLA_ADDRESS, LLADDR),
	NM_A(IFLA_BROADCAST, LLADDR),
	NM_A(IFLA_IFNAME, STR),
	NM_A(IFLA_MTU, UINT),
	NM_A(IFLA_LINK, IFINDEX, .by = IFLA_LINK_NETNSID),
	NM_A(IFLA_QDISC, STR),
	NM_A(IFLA_MASTER, IFINDEX),
	NM_A(IFLA_TXQLEN, UINT),
	NM_A(IFLA_MAP, STRUCT, .table = &map),
	NM_A(IFLA_OPERSTATE, ENUM, .names = &nm_IF_OPER),
	NM_A(IFLA_LINKMODE, UINT),
	NM_A(IFLA_LINKINFO, NEST, .table = &info),
	NM_A(IFLA_IFALIAS, STR),
	NM_A(IFLA_NUM_VF, UINT),
	NM_A(IFLA_VFINFO_LIST, LIST, .table = &vf_list),
	NM_A(IFLA_STATS64, STRUCT, .table = &nm_stats64_table),
	NM_A(IFLA_STATS, STRUCT, .table = &stats),
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
	NM_A(IFLA_DPLL_PIN, NEST, .table = &dpll_pin),
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

/* ---- ports of bridges (AF_BRIDGE) -------------------------------------------------- */

static const struct nm_field vlan_info_rows[] = {
	NM_M(bridge_vlan_info, vid, UINT),
	NM_M(bridge_vlan_info, flags, BITS, .names = &nm_BRIDGE_VLAN),
};
static const struct nm_table vlan_info = NM_STRUCT_OF(bridge_vlan_info, "", vlan_info_rows, NULL);

static const struct nm_field mst_entry_rows[] = {
	NM_A(IFLA_BRIDGE_MST_ENTRY_MSTI, UINT),
	NM_A(IFLA_BRIDGE_MST_ENTRY_STATE, ENUM, .names = &nm_BR_STATE),
};
static const struct nm_table mst_entry = NM_ATTRS("IFLA_BRIDGE_MST_ENTRY_", mst_entry_rows, NULL);

static const struct nm_field mst_rows[] = {
	NM_A(IFLA_BRIDGE_MST_ENTRY, NEST, .table = &mst_entry),
};
static const struct nm_table mst = NM_ATTRS("IFLA_BRIDGE_MST_", mst_rows, NULL);

static const struct nm_field bridge_spec_rows[] = {
	NM_A(IFLA_BRIDGE_FLAGS, UINT),
	NM_A(IFLA_BRIDGE_MODE, UINT),
	NM_A(IFLA_BRIDGE_VLAN_INFO, STRUCT, .many = true, .table = &vlan_info),
	NM_A(IFLA_BRIDGE_MST, LIST, .table = &mst),
};
static const struct nm_table bridge_spec =
	NM_ATTRS("IFLA_BRIDGE_", bridge_spec_rows, &nm_IFLA_BRIDGE);

static const struct nm_field port_link_rows[] = {
	NM_A(IFLA_ADDRESS, LLADDR),
	NM_A(IFLA_IFNAME, STR),
	NM_A(IFLA_MTU, UINT),
	NM_A(IFLA_LINK, UINT), /* perhaps of another namespace, which is not told here */
	NM_A(IFLA_MASTER, IFINDEX),
	NM_A(IFLA_PROTINFO, NEST, .table = &nm_port_table),
	NM_A(IFLA_AF_SPEC, NEST, .table = &bridge_spec),
	NM_A(IFLA_OPERSTATE, ENUM, .names = &nm_IF_OPER),
};
static const struct nm_table port_link_attrs = NM_ATTRS("IFLA_", port_link_rows, &nm_IFLA);

static const struct nm_field port_link_msg_rows[] = {
	NM_M(ifinfomsg, ifi_type, ENUM, .names = &nm_ARPHRD),
	NM_M(ifinfomsg, ifi_index, UINT),
	NM_M(ifinfomsg, ifi_flags, BITS, .names = &nm_IFF),
};
const struct nm_table nm_port_link_table =
	NM_STRUCT_OF(ifinfomsg, "ifi_", port_link_msg_rows, &port_link_attrs);

/* ---- statistics ------------------------------------------------------------------ */

#define WAY(member, way, i)                                                                        \
	{                                                                                          \
		.name = #member "_" way, .kind = NM_UINT,                                          \
		.off = offsetof(struct br_mcast_stats, member) + (i) * sizeof(uint64_t),           \
		.len = sizeof(uint64_t)                                                            \
	}
#define BOTH(member) WAY(member, "rx", BR_MCAST_DIR_RX), WAY(member, "tx", BR_MCAST_DIR_TX)
static const struct nm_field mcast_rows[] = {
	BOTH(igmp_v1queries), BOTH(igmp_v2queries),
	BOTH(igmp_v3queries), BOTH(igmp_leaves),
	BOTH(igmp_v1reports), BOTH(igmp_v2reports),
	BOTH(igmp_v3reports), NM_M(br_mcast_stats, igmp_parse_errors, UINT),
	BOTH(mld_v1queries),  BOTH(mld_v2queries),
	BOTH(mld_leaves),     BOTH(mld_v1reports),
	BOTH(mld_v2reports),  NM_M(br_mcast_stats, mld_parse_errors, UINT),
	BOTH(mcast_bytes),    BOTH(mcast_packets),
};
static const struct nm_table mcast = NM_STRUCT_OF(br_mcast_stats, "", mcast_rows, NULL);

static const struct nm_field vlan_stats_rows[] = {
	NM_M(bridge_vlan_xstats, vid, UINT),
	NM_M(bridge_vlan_xstats, flags, BITS, .names = &nm_BRIDGE_VLAN),
	NM_M(bridge_vlan_xstats, rx_bytes, UINT),
	NM_M(bridge_vlan_xstats, rx_packets, UINT),
	NM_M(bridge_vlan_xstats, tx_bytes, UINT),
	NM_M(bridge_vlan_xstats, tx_packets, UINT),
};
static const struct nm_table vlan_stats =
	NM_STRUCT_OF(bridge_vlan_xstats, "", vlan_stats_rows, NULL);

static const struct nm_field stp_rows[] = {
	NM_M(bridge_stp_xstats, transition_blk, UINT),
	NM_M(bridge_stp_xstats, transition_fwd, UINT),
	NM_M(bridge_stp_xstats, rx_bpdu, UINT),
	NM_M(bridge_stp_xstats, tx_bpdu, UINT),
	NM_M(bridge_stp_xstats, rx_tcn, UINT),
	NM_M(bridge_stp_xstats, tx_tcn, UINT),
};
static const struct nm_table stp = NM_STRUCT_OF(bridge_stp_xstats, "", stp_rows, NULL);

static const struct nm_field bridge_xstats_rows[] = {
	NM_A(BRIDGE_XSTATS_VLAN, STRUCT, .many = true, .table = &vlan_stats),
	NM_A(BRIDGE_XSTATS_MCAST, STRUCT, .table = &mcast),
	NM_A(BRIDGE_XSTATS_STP, STRUCT, .table = &stp),
};
static const struct nm_table bridge_xstats =
	NM_ATTRS("BRIDGE_XSTATS_", bridge_xstats_rows, &nm_BRIDGE_XSTATS);

static const struct nm_field lacp_rows[] = {
	NM_A(BOND_3AD_STAT_LACPDU_RX, UINT),         NM_A(BOND_3AD_STAT_LACPDU_TX, UINT),
	NM_A(BOND_3AD_STAT_LACPDU_UNKNOWN_RX, UINT), NM_A(BOND_3AD_STAT_LACPDU_ILLEGAL_RX, UINT),
	NM_A(BOND_3AD_STAT_MARKER_RX, UINT),         NM_A(BOND_3AD_STAT_MARKER_TX, UINT),
	NM_A(BOND_3AD_STAT_MARKER_RESP_RX, UINT),    NM_A(BOND_3AD_STAT_MARKER_RESP_TX, UINT),
	NM_A(BOND_3AD_STAT_MARKER_UNKNOWN_RX, UINT),
};
static const struct nm_table lacp = NM_ATTRS("BOND_3AD_STAT_", lacp_rows, &nm_BOND_XSTATS_3AD);

static const struct nm_field bond_xstats_rows[] = {
	NM_A(BOND_XSTATS_3AD, NEST, .table = &lacp),
};
static const struct nm_table bond_xstats = NM_ATTRS("BOND_XSTATS_", bond_xstats_rows, NULL);

static const struct nm_field xstats_rows[] = {
	NM_A(LINK_XSTATS_TYPE_BRIDGE, NEST, .table = &bridge_xstats),
	NM_A(LINK_XSTATS_TYPE_BOND, NEST, .table = &bond_xstats),
};
static const struct nm_table xstats =
	NM_ATTRS("LINK_XSTATS_TYPE_", xstats_rows, &nm_LINK_XSTATS_TYPE);

static const struct nm_field ifla_stats_rows[] = {
	NM_A(IFLA_STATS_LINK_64, STRUCT, .table = &nm_stats64_table),
	NM_A(IFLA_STATS_LINK_XSTATS, NEST, .table = &xstats),
	NM_A(IFLA_STATS_LINK_XSTATS_SLAVE, NEST, .table = &xstats),
};
static const struct nm_table ifla_stats = NM_ATTRS("IFLA_STATS_", ifla_stats_rows, &nm_IFLA_STATS);

static const struct nm_field if_stats_rows[] = {
	NM_M(if_stats_msg, ifindex, IFINDEX),
};
const struct nm_table nm_if_stats_table =
	NM_STRUCT_OF(if_stats_msg, "", if_stats_rows, &ifla_stats);
