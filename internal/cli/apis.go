package cli

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/caddy-keywarden/keywarden/admin"
)

const apisLong = `
Lists the APIs that gateways declare, and registers their endpoints, so that
people can choose them from a list. That grants nothing, and endpoints that
are captured from the path work without.

Address and admin key come from where keywarden keys takes them.`

// apis fills in the command "apis" and those below it.
func (p *program) apis(cmd *cobra.Command) {
	cmd.Use = "apis"
	cmd.DisableFlagsInUseLine = true
	cmd.Example = `  keywarden apis list
  keywarden apis register serverless/abc123 --title "Image resizer"
  keywarden apis forget serverless/abc123`
	cmd.SetFlagErrorFunc(p.flagFault)
	addAddressFlag(cmd)
	p.action(cmd, []string{"[COMMAND]"}, func(_ context.Context, i *invocation) error {
		if len(i.args) > 0 {
			return usagef("unknown command %q", i.args[0])
		}
		return i.cmd.Help()
	})
	cmd.AddCommand(p.listAPIs(), p.register(), p.forget())
}

func (p *program) listAPIs() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [--json]", Short: "Lists the declared APIs and their endpoints",
		Long:                  "\nLists the APIs that this gateway and others on its store declare, with their\npatterns, and the endpoints that are declared or registered.",
		DisableFlagsInUseLine: true,
	}
	addJSONFlag(cmd)
	p.action(cmd, nil, runListAPIs)
	return cmd
}

func runListAPIs(ctx context.Context, i *invocation) error {
	client, err := i.client()
	if err != nil {
		return err
	}
	apis, answer, err := client.APIs(ctx)
	if err != nil {
		return err
	}
	if i.wantsJSON() {
		return i.printJSON(answer.Body)
	}
	var text bytes.Buffer
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "API\tTITLE\tPATTERNS") // into memory: can't fail
	for _, api := range apis.Data {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", printable(api.Name), printable(api.Title), printable(strings.Join(api.Patterns, " ")))
		for _, e := range api.Endpoints {
			_, _ = fmt.Fprintf(w, "%s\t%s\t\n", printable(api.Name+"/"+e.ID), printable(e.Title))
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return i.print(text.Bytes())
}

func (p *program) register() *cobra.Command {
	cmd := &cobra.Command{
		Use: "register API/ENDPOINT [--title T] [--json]", Short: "Registers an endpoint of an API, or changes its title",
		Long:                  "\nRegisters an endpoint of a declared API, so that the console lists it. It grants\nnothing. An endpoint that is registered already gets the new title.",
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().String("title", "", "What people call the endpoint")
	addJSONFlag(cmd)
	p.action(cmd, []string{"API/ENDPOINT"}, func(ctx context.Context, i *invocation) error {
		title, err := i.cmd.Flags().GetString("title")
		if err != nil {
			return usagef("%v", err)
		}
		client, api, endpoint, err := i.endpoint()
		if err != nil {
			return err
		}
		_, answer, err := client.PutEndpoint(ctx, api, endpoint, title)
		if err != nil {
			return err
		}
		if i.wantsJSON() {
			return i.printJSON(answer.Body)
		}
		i.note("Registered %s/%s.", printable(api), printable(endpoint))
		return nil
	})
	return cmd
}

func (p *program) forget() *cobra.Command {
	cmd := &cobra.Command{
		Use: "forget API/ENDPOINT", Short: "Takes a registered endpoint off the list",
		Long:                  "\nTakes a registered endpoint off the list. Keys keep the access that they have to\nit. One that the configuration declares stays, without its title.",
		DisableFlagsInUseLine: true,
	}
	p.action(cmd, []string{"API/ENDPOINT"}, func(ctx context.Context, i *invocation) error {
		client, api, endpoint, err := i.endpoint()
		if err != nil {
			return err
		}
		if err := client.DeleteEndpoint(ctx, api, endpoint); err != nil {
			return err
		}
		i.note("Forgot %s/%s.", printable(api), printable(endpoint))
		return nil
	})
	return cmd
}

// endpoint returns a client, and the API and the endpoint that are named.
func (i *invocation) endpoint() (client *admin.Client, api, endpoint string, err error) {
	api, endpoint, found := strings.Cut(i.args[0], "/")
	if !found || api == "" || endpoint == "" || strings.Contains(endpoint, "/") {
		return nil, "", "", usagef("API/ENDPOINT: expected an API's name, a slash and an endpoint's id, such as serverless/abc123")
	}
	client, err = i.client()
	return client, api, endpoint, err
}
