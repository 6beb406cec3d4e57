package examples

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/caddy-keywarden/keywarden/internal/e2e"
)

// scraped are labels that Prometheus itself puts on what it scrapes.
var scraped = []string{"instance", "job"}

// dashboard is what the test needs of Grafana's format.
type dashboard struct {
	Panels []struct {
		Title   string
		Targets []struct{ Expr string }
	}
}

// alertRules is Prometheus' format of rules.
type alertRules struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         model.Duration    `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// expressions are the queries of the dashboard and the alerts, by what they
// are for.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("observability/grafana/keywarden.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, p := range d.Panels {
		for i, target := range p.Targets {
			found["panel "+p.Title+", query "+string(rune('A'+i))] = strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
		}
	}
	for _, rule := range readAlerts(t).Groups[0].Rules {
		found["alert "+rule.Alert] = rule.Expr
	}
	if len(found) < 20 {
		t.Fatalf("found %d queries only", len(found))
	}
	return found
}

func readAlerts(t *testing.T) alertRules {
	t.Helper()
	text, err := os.Open("observability/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	var rules alertRules
	decoder := yaml.NewDecoder(text)
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Groups) != 1 {
		t.Fatalf("%d groups of alerts, want 1", len(rules.Groups))
	}
	return rules
}

// export runs the example and returns what it exports, by the metric's name.
func export(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	g := e2e.Start(t, e2e.Options{Config: configOf(t, "observability").Config, Upstream: startUpstream(t)})
	key := g.Create(map[string]any{"permissions": map[string]any{"mode": "read_only"}})
	e2e.Expect(t, g.Call("GET", "/rest/users", "", e2e.Bearer(key.Secret)), http.StatusOK, "")
	e2e.Expect(t, g.Call("POST", "/rest/users", "{}", e2e.Bearer(key.Secret)), http.StatusForbidden, "")
	answer := g.Admin("GET", "/metrics", nil)
	e2e.Expect(t, answer, http.StatusOK, "")
	text := expfmt.NewTextParser(model.UTF8Validation)
	families, err := text.TextToMetricFamilies(strings.NewReader(string(answer.Body)))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// family returns the family that a series belongs to: those of a histogram
// have names with an ending.
func family(families map[string]*dto.MetricFamily, series string) *dto.MetricFamily {
	if f := families[series]; f != nil {
		return f
	}
	for _, ending := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, ending); ok && families[name].GetType() == dto.MetricType_HISTOGRAM {
			return families[name]
		}
	}
	return nil
}

func hasLabel(f *dto.MetricFamily, name string) bool {
	if slices.Contains(scraped, name) || name == "le" && f.GetType() == dto.MetricType_HISTOGRAM {
		return true
	}
	return slices.ContainsFunc(f.GetMetric()[0].GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == name })
}

func TestTheDashboardAndTheAlertsAskForWhatIsExported(t *testing.T) {
	families := export(t)
	shown := map[string]bool{}
	for what, text := range expressions(t) {
		expression, err := parser.ParseExpr(text)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
			switch n := node.(type) {
			case *parser.VectorSelector:
				f := family(families, n.Name)
				if f == nil {
					t.Errorf("%s asks for %s, which is not exported", what, n.Name)
					return nil
				}
				shown[f.GetName()] = shown[f.GetName()] || strings.HasPrefix(what, "panel")
				for _, m := range n.LabelMatchers {
					if m.Name != model.MetricNameLabel && !hasLabel(f, m.Name) {
						t.Errorf("%s: %s has no label %s", what, n.Name, m.Name)
					}
				}
			case *parser.AggregateExpr:
				for _, selector := range parser.ExtractSelectors(n.Expr) {
					f := family(families, nameOf(selector))
					for _, label := range n.Grouping {
						if f != nil && !hasLabel(f, label) {
							t.Errorf("%s groups by %s, which %s has not", what, label, f.GetName())
						}
					}
				}
			}
			return nil
		})
	}
	for name := range families {
		if strings.HasPrefix(name, "caddy_api_key_") && !shown[name] {
			t.Errorf("no panel shows %s", name)
		}
	}
}

func nameOf(selector []*labels.Matcher) string {
	for _, m := range selector {
		if m.Name == model.MetricNameLabel {
			return m.Value
		}
	}
	return ""
}

func TestAlertsSayHowBadItIsAndWhatToDo(t *testing.T) {
	for _, rule := range readAlerts(t).Groups[0].Rules {
		if rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" || rule.For == 0 {
			t.Errorf("alert %s lacks severity, summary, description or a time", rule.Alert)
		}
	}
}

func TestPrometheusScrapesWhereTheGatewayExports(t *testing.T) {
	text, err := os.ReadFile("observability/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		RuleFiles []string `yaml:"rule_files"`
		Scrape    []struct {
			Path    string `yaml:"metrics_path"`
			Targets []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	config := configOf(t, "observability").Config
	for _, s := range c.Scrape {
		if !strings.Contains(config, "handle "+s.Path+" {") || !strings.Contains(config, "http://"+s.Targets[0].Targets[0]+" {") {
			t.Errorf("it scrapes %s at %s, where the Caddyfile has no metrics", s.Path, s.Targets[0].Targets[0])
		}
	}
	for _, file := range c.RuleFiles {
		if _, err := os.Stat("observability/" + file); err != nil {
			t.Error(err)
		}
	}
}
