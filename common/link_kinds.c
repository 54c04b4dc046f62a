/* SPDX-License-Identifier: MIT */
/* What the kinds of links have of their own: bridges, bonds, VLANs, tunnels and their ports. */
#include "internal.h"
#include "names.h"
#include "uapi.h"

static const struct nm_field querier_rows[] = {
	NM_A(BRIDGE_QUERIER_IP_ADDRESS, ADDR),     NM_A(BRIDGE_QUERIER_IP_PORT, IFINDEX),
	NM_A(BRIDGE_QUERIER_IP_OTHER_TIMER, UINT), NM_A(BRIDGE_QUERIER_IPV6_ADDRESS, ADDR),
	NM_A(BRIDGE_QUERIER_IPV6_PORT, IFINDEX),   NM_A(BRIDGE_QUERIER_IPV6_OTHER_TIMER, UINT),
};
const struct nm_table nm_querier_table =
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
	NM_A(IFLA_BR_MCAST_QUERIER_STATE, NEST, .table = &nm_querier_table),
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

static const struct nm_field vlan_flags_rows[] = {
	NM_M(ifla_vlan_flags, flags, BITS, .names = &nm_VLAN_FLAG),
};
static const struct nm_table vlan_flags = NM_STRUCT_OF(ifla_vlan_flags, "", vlan_flags_rows, NULL);

static const struct nm_field vlan_qos_rows[] = {
	NM_M(ifla_vlan_qos_mapping, from, UINT),
	NM_M(ifla_vlan_qos_mapping, to, UINT),
};
static const struct nm_table vlan_qos =
	NM_STRUCT_OF(ifla_vlan_qos_mapping, "", vlan_qos_rows, NULL);
static const struct nm_field vlan_qos_list_rows[] = {
	NM_A(IFLA_VLAN_QOS_MAPPING, STRUCT, .table = &vlan_qos),
};
static const struct nm_table vlan_qos_list = NM_ATTRS("IFLA_VLAN_QOS_", vlan_qos_list_rows, NULL);

static const struct nm_field vlan_rows[] = {
	NM_A(IFLA_VLAN_ID, UINT),
	NM_A(IFLA_VLAN_PROTOCOL, BE),
	NM_A(IFLA_VLAN_FLAGS, STRUCT, .table = &vlan_flags),
	NM_A(IFLA_VLAN_EGRESS_QOS, LIST, .table = &vlan_qos_list),
	NM_A(IFLA_VLAN_INGRESS_QOS, LIST, .table = &vlan_qos_list),
};
static const struct nm_table vlan = NM_ATTRS("IFLA_VLAN_", vlan_rows, &nm_IFLA_VLAN);

static const struct nm_field vrf_rows[] = {
	NM_A(IFLA_VRF_TABLE, TABLE),
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

struct vxlan_port_range { /* ifla_vxlan_port_range, big-endian */
	__be16 low, high;
};
static const struct nm_field port_range_rows[] = {
	NM_M(vxlan_port_range, low, BE),
	NM_M(vxlan_port_range, high, BE),
};
static const struct nm_table port_range = NM_STRUCT_OF(vxlan_port_range, "", port_range_rows, NULL);

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
	NM_A(IFLA_VXLAN_PORT_RANGE, STRUCT, .table = &port_range),
	NM_A(IFLA_VXLAN_PROXY, UINT),
	NM_A(IFLA_VXLAN_RSC, UINT),
	NM_A(IFLA_VXLAN_L2MISS, UINT),
	NM_A(IFLA_VXLAN_L3MISS, UINT),
	NM_A(IFLA_VXLAN_PORT, BE),
	NM_A(IFLA_VXLAN_GROUP6, ADDR),
	NM_A(IFLA_VXLAN_LOCAL6, ADDR),
	NM_A(IFLA_VXLAN_UDP_CSUM, UINT),
	NM_A(IFLA_VXLAN_UDP_ZERO_CSUM6_TX, UINT),
	NM_A(IFLA_VXLAN_UDP_ZERO_CSUM6_RX, UINT),
	NM_A(IFLA_VXLAN_REMCSUM_TX, UINT),
	NM_A(IFLA_VXLAN_REMCSUM_RX, UINT),
	NM_A(IFLA_VXLAN_GBP, FLAG),
	NM_A(IFLA_VXLAN_REMCSUM_NOPARTIAL, FLAG),
	NM_A(IFLA_VXLAN_COLLECT_METADATA, UINT),
	NM_A(IFLA_VXLAN_LABEL, BE),
	NM_A(IFLA_VXLAN_GPE, FLAG),
	NM_A(IFLA_VXLAN_TTL_INHERIT, UINT),
	NM_A(IFLA_VXLAN_DF, UINT),
	NM_A(IFLA_VXLAN_VNIFILTER, UINT),
	NM_A(IFLA_VXLAN_LOCALBYPASS, UINT),
	NM_A(IFLA_VXLAN_LABEL_POLICY, UINT),
};
static const struct nm_table vxlan = NM_ATTRS("IFLA_VXLAN_", vxlan_rows, &nm_IFLA_VXLAN);

static const struct nm_field geneve_rows[] = {
	NM_A(IFLA_GENEVE_ID, UINT),
	NM_A(IFLA_GENEVE_REMOTE, ADDR),
	NM_A(IFLA_GENEVE_TTL, UINT),
	NM_A(IFLA_GENEVE_TOS, UINT),
	NM_A(IFLA_GENEVE_PORT, BE),
	NM_A(IFLA_GENEVE_COLLECT_METADATA, FLAG),
	NM_A(IFLA_GENEVE_REMOTE6, ADDR),
	NM_A(IFLA_GENEVE_UDP_CSUM, UINT),
	NM_A(IFLA_GENEVE_UDP_ZERO_CSUM6_TX, UINT),
	NM_A(IFLA_GENEVE_UDP_ZERO_CSUM6_RX, UINT),
	NM_A(IFLA_GENEVE_LABEL, BE),
	NM_A(IFLA_GENEVE_TTL_INHERIT, UINT),
	NM_A(IFLA_GENEVE_DF, UINT),
	NM_A(IFLA_GENEVE_INNER_PROTO_INHERIT, FLAG),
};
static const struct nm_table geneve = NM_ATTRS("IFLA_GENEVE_", geneve_rows, &nm_IFLA_GENEVE);

static const struct nm_field bareudp_rows[] = {
	NM_A(IFLA_BAREUDP_PORT, BE),
	NM_A(IFLA_BAREUDP_ETHERTYPE, BE),
	NM_A(IFLA_BAREUDP_SRCPORT_MIN, UINT),
	NM_A(IFLA_BAREUDP_MULTIPROTO_MODE, FLAG),
};
static const struct nm_table bareudp = NM_ATTRS("IFLA_BAREUDP_", bareudp_rows, &nm_IFLA_BAREUDP);

static const struct nm_field macaddr_list_rows[] = {
	NM_A(IFLA_MACVLAN_MACADDR, LLADDR),
};
static const struct nm_table macaddr_list = NM_ATTRS("IFLA_MACVLAN_", macaddr_list_rows, NULL);

static const struct nm_field macvlan_rows[] = {
	NM_A(IFLA_MACVLAN_MODE, ENUM, .names = &nm_MACVLAN_MODE),
	NM_A(IFLA_MACVLAN_FLAGS, BITS, .names = &nm_MACVLAN_FLAG),
	NM_A(IFLA_MACVLAN_MACADDR, LLADDR),
	NM_A(IFLA_MACVLAN_MACADDR_DATA, LIST, .table = &macaddr_list),
	NM_A(IFLA_MACVLAN_MACADDR_COUNT, UINT),
	NM_A(IFLA_MACVLAN_BC_QUEUE_LEN, UINT),
	NM_A(IFLA_MACVLAN_BC_QUEUE_LEN_USED, UINT),
	NM_A(IFLA_MACVLAN_BC_CUTOFF, SINT),
};
static const struct nm_table macvlan = NM_ATTRS("IFLA_MACVLAN_", macvlan_rows, &nm_IFLA_MACVLAN);

static const struct nm_field ipvlan_rows[] = {
	NM_A(IFLA_IPVLAN_MODE, ENUM, .names = &nm_IPVLAN_MODE),
	NM_A(IFLA_IPVLAN_FLAGS, BITS, .names = &nm_IPVLAN_F),
};
static const struct nm_table ipvlan = NM_ATTRS("IFLA_IPVLAN_", ipvlan_rows, &nm_IFLA_IPVLAN);

static const struct nm_field netkit_rows[] = {
	NM_A(IFLA_NETKIT_PRIMARY, UINT),
	NM_A(IFLA_NETKIT_POLICY, ENUM, .names = &nm_NETKIT_ACTION),
	NM_A(IFLA_NETKIT_PEER_POLICY, ENUM, .names = &nm_NETKIT_ACTION),
	NM_A(IFLA_NETKIT_MODE, ENUM, .names = &nm_NETKIT_MODE),
	NM_A(IFLA_NETKIT_SCRUB, UINT),
	NM_A(IFLA_NETKIT_PEER_SCRUB, UINT),
};
static const struct nm_table netkit = NM_ATTRS("IFLA_NETKIT_", netkit_rows, &nm_IFLA_NETKIT);

static const struct nm_field gre_rows[] = {
	NM_A(IFLA_GRE_LINK, IFINDEX),
	NM_A(IFLA_GRE_IFLAGS, BE),
	NM_A(IFLA_GRE_OFLAGS, BE),
	NM_A(IFLA_GRE_IKEY, BE),
	NM_A(IFLA_GRE_OKEY, BE),
	NM_A(IFLA_GRE_LOCAL, ADDR),
	NM_A(IFLA_GRE_REMOTE, ADDR),
	NM_A(IFLA_GRE_TTL, UINT),
	NM_A(IFLA_GRE_TOS, UINT),
	NM_A(IFLA_GRE_PMTUDISC, UINT),
	NM_A(IFLA_GRE_ENCAP_LIMIT, UINT),
	NM_A(IFLA_GRE_FLOWINFO, BE),
	NM_A(IFLA_GRE_FLAGS, UINT),
	NM_A(IFLA_GRE_ENCAP_TYPE, ENUM, .names = &nm_TUNNEL_ENCAP),
	NM_A(IFLA_GRE_ENCAP_FLAGS, UINT),
	NM_A(IFLA_GRE_ENCAP_SPORT, BE),
	NM_A(IFLA_GRE_ENCAP_DPORT, BE),
	NM_A(IFLA_GRE_COLLECT_METADATA, FLAG),
	NM_A(IFLA_GRE_IGNORE_DF, UINT),
	NM_A(IFLA_GRE_FWMARK, UINT),
	NM_A(IFLA_GRE_ERSPAN_INDEX, UINT),
	NM_A(IFLA_GRE_ERSPAN_VER, UINT),
	NM_A(IFLA_GRE_ERSPAN_DIR, UINT),
	NM_A(IFLA_GRE_ERSPAN_HWID, UINT),
};
static const struct nm_table gre = NM_ATTRS("IFLA_GRE_", gre_rows, &nm_IFLA_GRE);

static const struct nm_field iptun_rows[] = {
	NM_A(IFLA_IPTUN_LINK, IFINDEX),
	NM_A(IFLA_IPTUN_LOCAL, ADDR),
	NM_A(IFLA_IPTUN_REMOTE, ADDR),
	NM_A(IFLA_IPTUN_TTL, UINT),
	NM_A(IFLA_IPTUN_TOS, UINT),
	NM_A(IFLA_IPTUN_ENCAP_LIMIT, UINT),
	NM_A(IFLA_IPTUN_FLOWINFO, BE),
	NM_A(IFLA_IPTUN_FLAGS, UINT),
	NM_A(IFLA_IPTUN_PROTO, UINT),
	NM_A(IFLA_IPTUN_PMTUDISC, UINT),
	NM_A(IFLA_IPTUN_6RD_PREFIX, ADDR),
	NM_A(IFLA_IPTUN_6RD_RELAY_PREFIX, ADDR),
	NM_A(IFLA_IPTUN_6RD_PREFIXLEN, UINT),
	NM_A(IFLA_IPTUN_6RD_RELAY_PREFIXLEN, UINT),
	NM_A(IFLA_IPTUN_ENCAP_TYPE, ENUM, .names = &nm_TUNNEL_ENCAP),
	NM_A(IFLA_IPTUN_ENCAP_FLAGS, UINT),
	NM_A(IFLA_IPTUN_ENCAP_SPORT, BE),
	NM_A(IFLA_IPTUN_ENCAP_DPORT, BE),
	NM_A(IFLA_IPTUN_COLLECT_METADATA, FLAG),
	NM_A(IFLA_IPTUN_FWMARK, UINT),
};
static const struct nm_table iptun = NM_ATTRS("IFLA_IPTUN_", iptun_rows, &nm_IFLA_IPTUN);

static const struct nm_field vti_rows[] = {
	NM_A(IFLA_VTI_LINK, IFINDEX), NM_A(IFLA_VTI_IKEY, BE),     NM_A(IFLA_VTI_OKEY, BE),
	NM_A(IFLA_VTI_LOCAL, ADDR),   NM_A(IFLA_VTI_REMOTE, ADDR), NM_A(IFLA_VTI_FWMARK, UINT),
};
static const struct nm_table vti = NM_ATTRS("IFLA_VTI_", vti_rows, &nm_IFLA_VTI);

static const struct nm_field xfrm_rows[] = {
	NM_A(IFLA_XFRM_LINK, IFINDEX),
	NM_A(IFLA_XFRM_IF_ID, UINT),
	NM_A(IFLA_XFRM_COLLECT_METADATA, FLAG),
};
static const struct nm_table xfrm = NM_ATTRS("IFLA_XFRM_", xfrm_rows, &nm_IFLA_XFRM);

static const struct nm_field macsec_rows[] = {
	NM_A(IFLA_MACSEC_SCI, HEX),         NM_A(IFLA_MACSEC_PORT, BE),
	NM_A(IFLA_MACSEC_ICV_LEN, UINT),    NM_A(IFLA_MACSEC_CIPHER_SUITE, UINT),
	NM_A(IFLA_MACSEC_WINDOW, UINT),     NM_A(IFLA_MACSEC_ENCODING_SA, UINT),
	NM_A(IFLA_MACSEC_ENCRYPT, UINT),    NM_A(IFLA_MACSEC_PROTECT, UINT),
	NM_A(IFLA_MACSEC_INC_SCI, UINT),    NM_A(IFLA_MACSEC_ES, UINT),
	NM_A(IFLA_MACSEC_SCB, UINT),        NM_A(IFLA_MACSEC_REPLAY_PROTECT, UINT),
	NM_A(IFLA_MACSEC_VALIDATION, UINT), NM_A(IFLA_MACSEC_OFFLOAD, UINT),
};
static const struct nm_table macsec = NM_ATTRS("IFLA_MACSEC_", macsec_rows, &nm_IFLA_MACSEC);

static const struct nm_field hsr_rows[] = {
	NM_A(IFLA_HSR_SLAVE1, IFINDEX),      NM_A(IFLA_HSR_SLAVE2, IFINDEX),
	NM_A(IFLA_HSR_MULTICAST_SPEC, UINT), NM_A(IFLA_HSR_SUPERVISION_ADDR, LLADDR),
	NM_A(IFLA_HSR_SEQ_NR, UINT),         NM_A(IFLA_HSR_VERSION, UINT),
	NM_A(IFLA_HSR_PROTOCOL, UINT),       NM_A(IFLA_HSR_INTERLINK, IFINDEX),
};
static const struct nm_table hsr = NM_ATTRS("IFLA_HSR_", hsr_rows, &nm_IFLA_HSR);

static const struct nm_field ipoib_rows[] = {
	NM_A(IFLA_IPOIB_PKEY, UINT),
	NM_A(IFLA_IPOIB_MODE, UINT),
	NM_A(IFLA_IPOIB_UMCAST, UINT),
};
static const struct nm_table ipoib = NM_ATTRS("IFLA_IPOIB_", ipoib_rows, &nm_IFLA_IPOIB);

static const struct nm_field ad_info_rows[] = {
	NM_A(IFLA_BOND_AD_INFO_AGGREGATOR, UINT),    NM_A(IFLA_BOND_AD_INFO_NUM_PORTS, UINT),
	NM_A(IFLA_BOND_AD_INFO_ACTOR_KEY, UINT),     NM_A(IFLA_BOND_AD_INFO_PARTNER_KEY, UINT),
	NM_A(IFLA_BOND_AD_INFO_PARTNER_MAC, LLADDR),
};
static const struct nm_table ad_info =
	NM_ATTRS("IFLA_BOND_AD_INFO_", ad_info_rows, &nm_IFLA_BOND_AD_INFO);

static const struct nm_field target_rows[] = {
	{.name = "target", .kind = NM_ADDR},
};
static const struct nm_table targets = NM_ATTRS("", target_rows, NULL);

static const struct nm_field bond_rows[] = {
	NM_A(IFLA_BOND_MODE, ENUM, .names = &nm_BOND_MODE),
	NM_A(IFLA_BOND_ACTIVE_SLAVE, IFINDEX),
	NM_A(IFLA_BOND_MIIMON, UINT),
	NM_A(IFLA_BOND_UPDELAY, UINT),
	NM_A(IFLA_BOND_DOWNDELAY, UINT),
	NM_A(IFLA_BOND_USE_CARRIER, UINT),
	NM_A(IFLA_BOND_ARP_INTERVAL, UINT),
	NM_A(IFLA_BOND_ARP_IP_TARGET, LIST, .table = &targets),
	NM_A(IFLA_BOND_ARP_VALIDATE, UINT),
	NM_A(IFLA_BOND_ARP_ALL_TARGETS, UINT),
	NM_A(IFLA_BOND_PRIMARY, IFINDEX),
	NM_A(IFLA_BOND_PRIMARY_RESELECT, UINT),
	NM_A(IFLA_BOND_FAIL_OVER_MAC, UINT),
	NM_A(IFLA_BOND_XMIT_HASH_POLICY, UINT),
	NM_A(IFLA_BOND_RESEND_IGMP, UINT),
	NM_A(IFLA_BOND_NUM_PEER_NOTIF, UINT),
	NM_A(IFLA_BOND_ALL_SLAVES_ACTIVE, UINT),
	NM_A(IFLA_BOND_MIN_LINKS, UINT),
	NM_A(IFLA_BOND_LP_INTERVAL, UINT),
	NM_A(IFLA_BOND_PACKETS_PER_SLAVE, UINT),
	NM_A(IFLA_BOND_AD_LACP_RATE, UINT),
	NM_A(IFLA_BOND_AD_SELECT, UINT),
	NM_A(IFLA_BOND_AD_INFO, NEST, .table = &ad_info),
	NM_A(IFLA_BOND_AD_ACTOR_SYS_PRIO, UINT),
	NM_A(IFLA_BOND_AD_USER_PORT_KEY, UINT),
	NM_A(IFLA_BOND_AD_ACTOR_SYSTEM, LLADDR),
	NM_A(IFLA_BOND_TLB_DYNAMIC_LB, UINT),
	NM_A(IFLA_BOND_PEER_NOTIF_DELAY, UINT),
	NM_A(IFLA_BOND_AD_LACP_ACTIVE, UINT),
	NM_A(IFLA_BOND_MISSED_MAX, UINT),
	NM_A(IFLA_BOND_NS_IP6_TARGET, LIST, .table = &targets),
	NM_A(IFLA_BOND_COUPLED_CONTROL, UINT),
};
static const struct nm_table bond = NM_ATTRS("IFLA_BOND_", bond_rows, &nm_IFLA_BOND);

static const struct nm_name churn_names[] = {
	/* churn_state_t of the kernel's bond_3ad.h */
	{0, "monitor"},
	{1, "churn"},
	{2, "no_churn"},
};
static const struct nm_names churns = {NM_ARRAY(churn_names)};

static const struct nm_field bond_port_rows[] = {
	NM_A(IFLA_BOND_SLAVE_STATE, ENUM, .names = &nm_BOND_STATE),
	NM_A(IFLA_BOND_SLAVE_MII_STATUS, ENUM, .names = &nm_BOND_LINK),
	NM_A(IFLA_BOND_SLAVE_LINK_FAILURE_COUNT, UINT),
	NM_A(IFLA_BOND_SLAVE_PERM_HWADDR, LLADDR),
	NM_A(IFLA_BOND_SLAVE_QUEUE_ID, UINT),
	NM_A(IFLA_BOND_SLAVE_AD_AGGREGATOR_ID, UINT),
	NM_A(IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE, BITS, .names = &nm_LACP_STATE),
	NM_A(IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE, BITS, .names = &nm_LACP_STATE),
	NM_A(IFLA_BOND_SLAVE_PRIO, SINT),
	NM_A(IFLA_BOND_SLAVE_ACTOR_PORT_PRIO, UINT),
	NM_A(IFLA_BOND_SLAVE_AD_CHURN_ACTOR_STATE, ENUM, .names = &churns),
	NM_A(IFLA_BOND_SLAVE_AD_CHURN_PARTNER_STATE, ENUM, .names = &churns),
};
static const struct nm_table bond_port =
	NM_ATTRS("IFLA_BOND_SLAVE_", bond_port_rows, &nm_IFLA_BOND_SLAVE);

static const struct nm_field vrf_port_rows[] = {
	NM_A(IFLA_VRF_PORT_TABLE, UINT),
};
static const struct nm_table vrf_port =
	NM_ATTRS("IFLA_VRF_PORT_", vrf_port_rows, &nm_IFLA_VRF_PORT);

const struct nm_case nm_link_kinds[] = {
	{"bareudp", &bareudp},
	{"bond", &bond},
	{"bridge", &bridge},
	{"erspan", &gre},
	{"geneve", &geneve},
	{"gre", &gre},
	{"gretap", &gre},
	{"hsr", &hsr},
	{"ip6erspan", &gre},
	{"ip6gre", &gre},
	{"ip6gretap", &gre},
	{"ip6tnl", &iptun},
	{"ipip", &iptun},
	{"ipoib", &ipoib},
	{"ipvlan", &ipvlan},
	{"ipvtap", &ipvlan},
	{"macsec", &macsec},
	{"macvlan", &macvlan},
	{"macvtap", &macvlan},
	{"netkit", &netkit},
	{"sit", &iptun},
	{"tun", &tun},
	{"vlan", &vlan},
	{"vrf", &vrf},
	{"vti6", &vti},
	{"vti", &vti},
	{"vxlan", &vxlan},
	{"xfrm", &xfrm},
	{0},
};

const struct nm_case nm_port_kinds[] = {
	{"bond", &bond_port},
	{"bridge", &nm_port_table},
	{"vrf", &vrf_port},
	{0},
};
