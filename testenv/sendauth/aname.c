/*
 * aname: what MIT's libkrb5 takes for the local names of principals.
 *
 *   aname < PRINCIPALS
 *
 * Prints a line for each line of its input: "=NAME", or "-" where there is no
 * local name. The rules are those of KRB5_CONFIG.
 */
#include <krb5.h>

#include <stdio.h>
#include <string.h>

int main(void)
{
	krb5_context context;
	char line[4096], name[4096];

	if (krb5_init_context(&context))
		return 1;
	while (fgets(line, sizeof line, stdin)) {
		krb5_principal principal;

		line[strcspn(line, "\n")] = 0;
		if (krb5_parse_name(context, line, &principal))
			return 2;
		if (krb5_aname_to_localname(context, principal, sizeof name, name))
			puts("-");
		else
			printf("=%s\n", name);
		krb5_free_principal(context, principal);
	}
	return 0;
}
