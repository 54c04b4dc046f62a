# SPDX-License-Identifier: MIT
# Completion of netmon for bash: commands and options as its own help tells them.

# The words that may stand behind an option; 1: nothing is known of it.
_netmon_value() {
	case $1 in
	--namespace | -N) ip netns list 2>/dev/null | cut -d' ' -f1 ;;
	--interface | -i | --iif | --filter) command ls /sys/class/net 2>/dev/null ;;
	--record | --replay | --config | -c) compgen -f -- "$2" ;;
	--table)
		echo main local default
		sed -n 's/^[0-9][0-9]*[[:space:]]*//p' /etc/iproute2/rt_tables \
			/usr/share/iproute2/rt_tables 2>/dev/null
		;;
	--sort) echo name rx tx rx-packets tx-packets errors used ;;
	--color) echo always auto never ;;
	--from | --mark | --interval | --count | -n | --option | -o) ;;
	*) return 1 ;;
	esac
}

_netmon() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local name=${COMP_WORDS[0]##*/} command words

	COMPREPLY=()
	case $name in
	netmon-device) command=link ;;
	netmon-*) command=${name#netmon-} ;;
	*) [ "$COMP_CWORD" -gt 1 ] && command=${COMP_WORDS[1]} ;;
	esac
	# bash makes three words of --table=main
	if [ "$cur" = = ]; then
		cur= words=$(_netmon_value "$prev")
	elif [ "$prev" = = ]; then
		words=$(_netmon_value "${COMP_WORDS[COMP_CWORD - 2]}" "$cur")
	elif [ "$prev" != --color ] && words=$(_netmon_value "$prev" "$cur"); then
		:
	elif [ -n "$command" ] && [[ $cur == -* ]]; then
		words=$(netmon help "$command" 2>/dev/null | grep -o -- '^ .*--[a-z0-9-]*' |
			grep -o -- '--[a-z0-9-]*')
	elif [ -z "$command" ] || [[ " help schema watch metrics options " == *" $command "* ]]; then
		words=$(netmon --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')
	elif [ "$command" = diff ]; then
		words=$(compgen -f -- "$cur")
	elif [[ " history summary " == *" $command "* ]]; then
		words=$(command ls /sys/class/net 2>/dev/null)
	fi
	mapfile -t COMPREPLY < <(IFS=$' \t\n'; compgen -W "$words" -- "$cur")
}
complete -F _netmon netmon netmon-device netmon-route netmon-neighbor netmon-mdb netmon-rule
