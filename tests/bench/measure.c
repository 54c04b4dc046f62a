/* SPDX-License-Identifier: MIT */
/*
 * What a command costs: its processor time, user and system, and its peak memory.
 *
 *	measure COMMAND...
 *
 * The command's output goes to /dev/null.  Prints a line of JSON.  A small program of its own,
 * because a process starts with the peak memory of the one that it was forked from.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static double ms(struct timeval t)
{
	return 1e3 * (double)t.tv_sec + 1e-3 * (double)t.tv_usec;
}

int main(int argc, char **argv)
{
	struct rusage used;
	int status = 0, null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	pid_t child = argc > 1 && null >= 0 ? fork() : -1;

	if (!child) {
		dup2(null, STDOUT_FILENO);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	if (child < 0 || wait4(child, &status, 0, &used) < 0) {
		fputs("usage: measure COMMAND...\n", stderr);
		return 2;
	}
	printf("{\"cpu_ms\":%.3f,\"user_ms\":%.3f,\"rss_kb\":%ld,\"status\":%d}\n",
	       ms(used.ru_utime) + ms(used.ru_stime), ms(used.ru_utime), used.ru_maxrss,
	       WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return 0;
}
