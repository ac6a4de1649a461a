/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "govctl.h"

#include <locale.h>
#include <stdarg.h>

#include "base/log.h"

void tell(const char *format, ...)
{
	char line[900];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_err("govctl: %s", line);
}

/* A full disk or a closed pipe behind stdout is a failure too. */
static int output_end(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	tell("can't write the output: %m");
	return code == EXIT_SUCCESS ? EXIT_FAILURE : code;
}

int main(int argc, char **argv)
{
	struct context context;
	int code;

	/* Only for the width of characters: all that is printed is UTF-8 by then. Not in the environment: run keeps
	 * it as it is. */
	setlocale(LC_CTYPE, "C.UTF-8");
	code = args_parse(argc, argv, &context);
	if (code != EXIT_SUCCESS)
		goto end;
	if (context.options[OPTION_HELP] && context.verb)
		help_print_verb(context.verb);
	else if (context.options[OPTION_HELP])
		help_print();
	else if (context.options[OPTION_VERSION])
		printf("govctl %s\n", GOV_VERSION);
	else
		code = context.verb->run(&context);
end:
	args_done(&context);
	return output_end(code);
}
