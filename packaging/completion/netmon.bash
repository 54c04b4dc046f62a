# SPDX-License-Identifier: MIT
# Completion of netmon for bash: commands and options as its own help tells them.

_netmon() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]}
	local name=${COMP_WORDS[0]##*/} command words

	COMPREPLY=()
	case $name in
	netmon-device) command=link ;;
	netmon-*) command=${name#netmon-} ;;
	*) [ "$COMP_CWORD" -gt 1 ] && command=${COMP_WORDS[1]} ;;
	esac
	case $prev in
	--namespace | -N)
		words=$(ip netns list 2>/dev/null | cut -d' ' -f1)
		;;
	--interface | -i)
		words=$(command ls /sys/class/net 2>/dev/null)
		;;
	--record | --replay | --config | -c)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	*)
		if [ -n "$command" ] && [[ $cur == -* ]]; then
			words=$(netmon help "$command" 2>/dev/null | grep -o -- '^ .*--[a-z0-9-]*' |
				grep -o -- '--[a-z0-9-]*')
		elif [ -z "$command" ] || [[ " help schema watch metrics options " == *" $command "* ]]; then
			words=$(netmon --help 2>/dev/null | sed -n 's/^  \([a-z]*\) .*/\1/p')
		elif [ "$command" = diff ]; then
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
			return
		fi
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -F _netmon netmon netmon-device netmon-route netmon-neighbor netmon-mdb netmon-rule
